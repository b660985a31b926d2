"""Contract of `WalDir`: of the local disk, and of the one in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleancut.core.primitives.errors import NotFound
from tests.contract.wal.worlds import World, world_of


@pytest.fixture(params=["disk", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return world_of(request.param, tmp_path)


def test_a_file_keeps_its_identity_under_another_name(world: World) -> None:
    world.create("open-1", 16)
    directory = world.open()
    before = directory.list()["open-1"]
    world.rename("open-1", "closed-0")
    assert directory.list() == {"closed-0": before}
    file = directory.open("closed-0")
    assert file is not None
    assert file.identity == before
    assert directory.open("open-1") is None
    file.close()
    directory.close()


def test_a_held_file_is_readable_after_its_removal(world: World) -> None:
    world.create("open-1", 16)
    directory = world.open()
    file = directory.open("open-1")
    assert file is not None
    world.write("open-1", 12, b"abcdef")
    assert file.size_bytes() == 18
    world.unlink("open-1")
    assert directory.list() == {}
    assert file.pread(100, 12) == b"abcdef"
    assert file.pread(3, 13) == b"bcd"
    assert file.pread(4, 400) == b""
    file.close()
    file.close()
    directory.close()


def test_another_file_of_the_same_name_is_another_file(world: World) -> None:
    world.create("closed-5")
    directory = world.open()
    held, before = directory.open("closed-5"), directory.list()["closed-5"]
    world.unlink("closed-5")
    world.create("closed-5")
    assert directory.list()["closed-5"] != before
    assert held is not None
    held.close()
    directory.close()


@pytest.mark.parametrize("harm", ["replace", "remove"])
def test_another_directory_in_its_place_is_noticed(world: World, harm: str) -> None:
    """Also one that was made at once, which could get the number of the one removed."""
    world.create("open-1")
    directory = world.open()
    assert directory.in_place()
    getattr(world, harm)()
    assert not directory.in_place()
    assert directory.list() == {}
    assert directory.open("open-1") is None
    directory.close()
    directory.close()


def test_a_directory_that_is_not_there_is_not_found(world: World) -> None:
    world.remove()
    with pytest.raises(NotFound):
        world.open()
