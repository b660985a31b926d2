"""Objects larger than any of cleancut: named, instead of filling the memory of what reads them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import ClusterName, Epoch, Sha256
from cleancut.repository.owners import read_owners
from cleancut.runtime.clock import SystemClock
from cleancut.store.limited import MAX_BYTES
from cleancut.store.open import open_store

PATHS = Paths(ClusterName("c"))


@pytest.mark.parametrize(
    "path",
    [
        PATHS.format,
        PATHS.owner(1),
        PATHS.probe(Epoch(7), "agent"),
        PATHS.mark(Epoch(7), "opened"),
        PATHS.staged(Epoch(7), Sha256("0" * 64)),
        PATHS.sparse_list(Epoch(7), "0" * 64),
    ],
)
def test_no_object_is_read_whole_that_is_too_large(path: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.truncate(MAX_BYTES + 1)
    store = open_store(f"file://{tmp_path}", SystemClock())
    with pytest.raises(Corrupt, match=path):
        asyncio.run(store.get(path))
    assert asyncio.run(store.get(path, MAX_BYTES, 10)) == b"\0"
    if path == PATHS.owner(1):
        with pytest.raises(Corrupt, match=path):
            asyncio.run(read_owners(store, PATHS))


def test_the_largest_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with (tmp_path / "c" / "large").open("wb") as opened:
        opened.truncate(MAX_BYTES)
    store = open_store(f"file://{tmp_path}", SystemClock())
    assert len(asyncio.run(store.get("c/large"))) == MAX_BYTES
