"""Symbolic links in a file store: nothing outside the store is listed, read, written or deleted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Refused
from cleancut.ports.store import ObjectInfo
from cleancut.store.file import FileStore


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder next to the store, with a file in it."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "precious").write_bytes(b"precious")
    (folder / "precious").write_bytes(b"precious")
    return folder


@pytest.fixture
def store(tmp_path: Path, outside: Path) -> FileStore:
    """With an object of its own, and links to folders and to files, whole and dangling."""
    packs = tmp_path / "store" / "c" / "packs"
    packs.mkdir(parents=True)
    (packs / "own").write_bytes(b"own")
    (packs / "folder").symlink_to(outside, target_is_directory=True)
    (packs / "file").symlink_to(outside / "precious")
    (packs / "relative").symlink_to(Path("../../../outside/precious"))
    (packs / "dangling").symlink_to(outside / "missing")
    return FileStore(tmp_path / "store")


async def _paths(found: AsyncIterator[ObjectInfo]) -> list[str]:
    return [info.path async for info in found]


def test_listings_leave_links_out(store: FileStore) -> None:
    for prefix in ("", "c/", "c/packs/", "c/packs/f"):
        expected = [] if prefix.endswith("f") else ["c/packs/own"]
        assert asyncio.run(_paths(store.list(prefix))) == expected


def test_a_listing_that_begins_at_a_link_is_refused(store: FileStore) -> None:
    """Nothing found would read as "there is none"."""
    with pytest.raises(Refused, match="symbolic link"):
        asyncio.run(_paths(store.list("c/packs/folder/")))


@pytest.mark.parametrize("name", ["folder/precious", "folder/deep/precious", "file", "relative"])
@pytest.mark.parametrize(
    "act",
    [
        lambda store, path: store.get(path),
        lambda store, path: store.stat(path),
        lambda store, path: store.delete(path),
        lambda store, path: store.put(path, b"precious"),
        lambda store, path: store.put(path, b"other"),
    ],
    ids=["get", "stat", "delete", "put", "put_other"],
)
def test_links_are_refused(
    store: FileStore,
    outside: Path,
    name: str,
    act: Callable[[FileStore, str], Awaitable[object]],
) -> None:
    async def run() -> None:
        await act(store, f"c/packs/{name}")

    with pytest.raises(Refused, match="symbolic link"):
        asyncio.run(run())
    assert (outside / "precious").read_bytes() == b"precious"
    assert (outside / "deep" / "precious").read_bytes() == b"precious"
    assert sorted(os.listdir(outside)) == ["deep", "precious"]


def test_a_new_object_is_not_written_through_a_link(store: FileStore, outside: Path) -> None:
    for path in ("c/packs/folder/new", "c/packs/dangling"):
        with pytest.raises(Refused, match="symbolic link"):
            asyncio.run(store.put(path, b"new"))
    assert sorted(os.listdir(outside)) == ["deep", "precious"]


def test_the_root_may_be_a_link(store: FileStore, tmp_path: Path) -> None:
    """The operator named it; a store on another disk is usual."""
    (tmp_path / "linked").symlink_to(tmp_path / "store")
    linked = FileStore(tmp_path / "linked")
    assert asyncio.run(linked.get("c/packs/own")) == b"own"
    assert asyncio.run(_paths(linked.list("c/"))) == ["c/packs/own"]
