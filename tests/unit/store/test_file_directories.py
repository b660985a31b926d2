"""Directories of a store that one writer makes while a deletion removes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cleancut.store.file import FileStore

ROUNDS = 2000


def test_a_directory_that_comes_and_goes_stops_no_writer(tmp_path: Path) -> None:
    """Seen between `mkdir` and the look at what it had found."""
    store = FileStore(tmp_path)

    def churn(name: str) -> None:
        for _ in range(ROUNDS):
            target = tmp_path / "collection" / name
            store._open_new(target).close()
            store._delete(target)

    with ThreadPoolExecutor() as pool:
        list(pool.map(churn, "abcd"))
    assert list(tmp_path.iterdir()) == []
