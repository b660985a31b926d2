"""Snapshots that Qdrant's own API has taken, imported and restored onto any number of peers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from cleancut_devcluster.demo.comparison import compare
from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from cleancut_devcluster.launch.qdrant import Kind
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

NAME = COLLECTION


@pytest.mark.parametrize("peers", [1, pytest.param(3, marks=pytest.mark.chaos)])
def test_snapshots_of_all_nodes_become_a_backup(
    launch: Launch, kind: Kind, peers: int, tmp_path: Path
) -> None:
    """Nothing of the cluster is left but the files that its nodes have made: points, payloads and
    answers to searches come back. The backup counts as imported, and is not the latest."""
    world = launch(peers=3, coordinators=1)
    world.fill()
    kept = world.answers()
    taken = shard_snapshots if kind == "standin" else collection_snapshots
    files = world.run(taken(world, tmp_path))
    verb = ("--store", world.setup.store_url, "backup", "import", "-c", COLLECTION)
    refused(world.cleancut(*verb, *files[:-1]), 4, "no file holds shard")
    backup = world.ok("backup", *verb, *files)
    assert backup["evidence"]["consistency"] == "imported"
    refused(world.cleancut("backup", "show", "latest"), 3, "has no backup")
    assert world.offline("backup", "verify", backup["id"]).value("verify")["problems"] == []
    world.lose_all(peers)
    restored = world.ok("restore", "restore", "start", backup["id"], "--yes")
    assert restored["state"] == "DONE"
    world.run(name_alias(world))
    assert [one.what for one in compare(kept, world.answers()) if not one.equal] == []


async def collection_snapshots(world: World, directory: Path) -> list[str]:
    """One of each node, by Qdrant's own API."""
    found = []
    async with aiohttp.ClientSession() as session:
        for at, peer in enumerate(world.setup.peers):
            where = f"{peer.url}/collections/{COLLECTION}/snapshots"
            async with session.post(where) as answer:
                name = (await answer.json())["result"]["name"]
            found.append(await download(session, f"{where}/{name}", directory / f"{at}.snapshot"))
    return found


async def shard_snapshots(world: World, directory: Path) -> list[str]:
    """One of each shard, from the node that has it, after the collection's configuration."""
    found = []
    async with aiohttp.ClientSession() as session:
        for peer in world.setup.peers:
            where = f"{peer.url}/collections/{COLLECTION}"
            async with session.get(f"{where}/cluster") as answer:
                shards = (await answer.json())["result"]["local_shards"]
            for shard in (one["shard_id"] for one in shards):
                file = directory / f"{COLLECTION}-shard-{shard}-2026-11-30-10-00-00.snapshot"
                found.append(await download(session, f"{where}/shards/{shard}/snapshot", file))
        config = await download(session, where, directory / "config.json")
    return [f"--config={config}", *found]


async def name_alias(world: World) -> None:
    """No snapshot holds one."""
    peer = next(one for one in world.setup.peers if one.running)
    action = {"create_alias": {"collection_name": COLLECTION, "alias_name": ALIAS}}
    async with aiohttp.ClientSession() as session:
        where = f"{peer.url}/collections/aliases"
        async with session.post(where, json={"actions": [action]}) as answer:
            assert answer.status == 200, await answer.text()


async def download(session: aiohttp.ClientSession, url: str, file: Path) -> str:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        await asyncio.to_thread(file.write_bytes, await answer.read())
    return str(file)
