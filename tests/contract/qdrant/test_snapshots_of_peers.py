"""`backup extract --as-snapshot --peers`: a real cluster takes each file by the printed command."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.cluster.hash_ring import HashRing, hashes_of, point_id
from tests.contract.qdrant.world import World
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar

KINDS = {"vectors": {"size": 3, "distance": "Dot"}}
POINTS = 200


def backup_of(tmp_path: Path, shards: int) -> RecordedStore:
    """A backup of a collection with two replicas of each shard and an index; each point lies in
    the shard that Qdrant looks it up in."""
    ids = range(POINTS)
    owners = HashRing(range(shards)).owners_of(hashes_of([point_id(one) for one in ids]))
    chance = random.Random(7)
    index = {"kind": "create_index", "field": "n", "schema": "integer"}
    tars = {}
    for at in range(shards):
        mine = [
            {"id": one, "vector": [chance.random() for _ in range(3)], "payload": {"n": one}}
            for one, owner in zip(ids, owners, strict=True)
            if owner == at
        ]
        operation = {"kind": "upsert", "points": mine}
        tars[at] = made_tar(tmp_path / f"shard-{at}", KINDS, operation, index)
    info = made_info(KINDS)
    info["config"]["params"] |= {"shard_number": shards, "replication_factor": 2}
    info["payload_schema"] = {"n": {"data_type": "integer", "points": POINTS}}
    store = RecordedStore(tmp_path)
    store.publish(1, tars, info)
    return store


async def taken_back(world: World, name: str, commands: list[str]) -> None:
    """Each command as printed, one after the other, for a collection of another name."""
    for number, command in enumerate(commands, 1):
        host = world.peers[number - 1].url.removeprefix("http://")
        printed = command.replace(f"PEER-{number}:6333", host)
        ended = await asyncio.create_subprocess_shell(
            printed.replace(f"/{DOCS}/", f"/{name}/"), stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await ended.communicate()
        assert ended.returncode == 0, answer
        assert json.loads(answer)["result"] is True


async def points_of(world: World, peer: int, name: str) -> dict[int, Any]:
    body = {"limit": 10 * POINTS, "with_vector": True}
    found = await world.post(peer, f"/collections/{name}/points/scroll", body)
    return {one["id"]: (one["payload"], one["vector"]) for one in found["points"]}


@pytest.mark.real_qdrant
@pytest.mark.parametrize("kind", ["real"], indirect=True)
@pytest.mark.parametrize(("shards", "files"), [(5, 3), (2, 2), (4, 1)])
def test_a_cluster_takes_a_file_a_peer(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shards: int,
    files: int,
) -> None:
    """Every point, by whichever peer is asked; each shard lies where its file was taken, and in one
    replica, wherever Qdrant had placed the new collection's."""
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    store = backup_of(tmp_path, shards)
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--with-vectors"]
    assert run([*store.flags, *verb, "--out", str(tmp_path / "lines")]) == Exit.OK
    lines = map(json.loads, (tmp_path / "lines").read_text().splitlines())
    expected = {one["id"]: (one["payload"], one["vector"]) for one in lines}
    assert len(expected) == POINTS
    out = str(tmp_path / "it's a.snapshot")
    verb = ["backup", "extract", "1", "-c", DOCS, "--as-snapshot", "--peers", str(files)]
    capsys.readouterr()
    assert run([*store.flags, "-o", "json", *verb, "--out", out]) == Exit.OK
    written = json.loads(capsys.readouterr().out)["extracted"]
    for round_ in range(2):
        name = f"back-{shards}-{files}-{round_}"
        world.run(taken_back(world, name, [one["command"] for one in written]))
        world.run(world.settled(name, shards))
        placed = {
            replica.shard_id: at
            for at, client in enumerate(world.clients)
            for replica in world.run(client.placement(name)).local()
        }
        assert placed == {shard: shard % files for shard in range(shards)}
        for peer in range(len(world.peers)):
            assert world.run(points_of(world, peer, name)) == expected
        body = {"ids": list(range(POINTS))}
        assert len(world.run(world.post(0, f"/collections/{name}/points", body))) == POINTS
        found = world.run(world.first.collection(name))
        assert found["payload_schema"]["n"]["points"] == POINTS
