"""Odd names of collections go the whole way: what a backup takes, a restore brings back."""

from __future__ import annotations

import pytest

from tests.adversity.points import count, create, upsert
from tests.e2e.conftest import Launch
from tests.e2e.world import refused

GOOD = ("{x}", "{", "tab\there", "a" * 206, "語" * 68, "é" * 103, "50%", " a b ", "#1", "..x")
BAD = ("b" * 207, "ö" * 104, "語" * 69, "line\nbreak", "del\x7f")
HELD = 20


@pytest.mark.adversity("names with {}, tabs, and of as many bytes as Qdrant streams")
def test_odd_names_make_the_whole_round(launch: Launch) -> None:
    """Names that Qdrant cannot stream are refused in the backup, each by name; the others come
    back with all points."""
    world = launch(peers=2, coordinators=1)
    url = world.setup.peers[0].url

    async def fill() -> None:
        for name in (*GOOD, *BAD):
            await create(url, name)
            await upsert(url, name, range(HELD))

    world.run(fill())
    refused(world.cleancut("backup", "create"), 4, "--exclude", "207 bytes", "control")
    made = world.back_up("--allow-missing")
    assert sorted(one["name"] for one in made["missing"]) == sorted(BAD)
    world.lose_all(2)
    world.ok("restore", "restore", "start", made["id"], "--yes")

    async def counts() -> dict[str, int]:
        there = world.setup.peers[0].url
        return {name: await count(there, name) for name in GOOD}

    assert world.collections() == sorted(GOOD)
    assert world.run(counts()) == dict.fromkeys(GOOD, HELD)
