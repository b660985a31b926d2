"""Collections of any name that Qdrant takes and streams come back under it, byte for byte."""

from __future__ import annotations

from qdrant_client import models

from cleancut.core.primitives.ids import MAX_STREAMED_NAME_BYTES
from cleancut_devcluster.demo.data import Data, make_vectors
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.conftest import Launch
from tests.e2e.world import SMALL, World, refused

LONGEST = "é" * ((MAX_STREAMED_NAME_BYTES - 2) // 2) + "x"
"""205 bytes in 103 letters; its only shard is shard 0."""
NAMES = (
    "{x}",
    "{x}{y",
    "tab\there",
    LONGEST,
    "a b",
    "100%",
    "%7Bx%7D",
    "日本",
    "#1;&=+,'\"",
    "~.-_",
)
TOO_LONG = LONGEST + "y"


def make(world: World, names: tuple[str, ...]) -> None:
    async def body() -> None:
        async with world.setup.peers[0].client() as qdrant:
            for name in names:
                vectors = {"size": SMALL.dims, "distance": "Dot"}
                await qdrant.create_collection(name, {"vectors": vectors, "shard_number": 1})
        async with Data(world.setup.peers[0].url, SMALL) as data:
            for count, name in enumerate(names, start=1):
                points = models.Batch(
                    ids=list(range(count)), vectors=make_vectors(SMALL, 0, count).tolist()
                )
                await data.client.upsert(name, points, wait=True)

    world.run(body())


def counts(world: World, names: tuple[str, ...]) -> list[int]:
    async def body(peer: PeerProcess) -> list[int]:
        async with Data(peer.url, SMALL) as data:
            return [(await data.client.count(name, exact=True)).count for name in names]

    return world.run(body(world.setup.peers[0]))


def test_odd_names_come_back(launch: Launch) -> None:
    """By the command line; `{}` is no pattern to the server of tars, and limits count bytes."""
    world = launch(peers=2, coordinators=1)
    make(world, NAMES)
    backup = world.back_up()
    assert sorted(backup["collections"]) == sorted(NAMES)
    assert len(LONGEST.encode()) == MAX_STREAMED_NAME_BYTES - 1
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", backup["id"], "--yes")
    assert restored["state"] == "DONE"
    assert counts(world, NAMES) == list(range(1, len(NAMES) + 1))
    make(world, (TOO_LONG,))
    refused(world.cleancut("backup", "create"), 4, "too long to be streamed", "--exclude")
    left = world.back_up("--exclude", TOO_LONG)
    assert sorted(left["collections"]) == sorted(NAMES)
