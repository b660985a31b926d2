"""Tars that a real Qdrant 1.18.3 once streamed, and what it answered then."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleancut.qdrant.responses import parse_cluster, parse_placement, parse_telemetry
from cleancut_devcluster.launch.qdrant import launch_peers, real_binary
from tests.contract.qdrant.conftest import NO_REAL_SERVER
from tests.contract.qdrant.world import World, points, read_stream, recover

RECORDED = Path(__file__).parents[2] / "data" / "qdrant-1.18.3"


def recorded(moment: str) -> tuple[dict[str, Any], dict[int, bytes]]:
    """The answers at `moment`, and each shard's tar."""
    answers: dict[str, Any] = json.loads((RECORDED / f"{moment}.json").read_text())
    tars = {
        shard: gzip.decompress((RECORDED / f"{moment}-shard{shard}.tar.gz").read_bytes())
        for shard in (0, 1)
    }
    return answers, tars


def config_of(answers: dict[str, Any]) -> dict[str, Any]:
    """The create request that means the recorded configuration."""
    config = answers["collection"]["result"]["config"]
    return {
        **config["params"],
        "hnsw_config": config["hnsw_config"],
        "optimizers_config": config["optimizer_config"],
        "wal_config": config["wal_config"],
    }


@pytest.mark.parametrize("moment", ["t0", "t1"])
def test_recorded_tars_restore_to_the_recorded_answers(world: World, moment: str) -> None:
    """Counts, filtered counts, exact top-10 and routing are those of that day."""

    async def check() -> None:
        answers, tars = recorded(moment)
        name = await world.create(**_without(config_of(answers), "shard_number"), shards=2)
        await world.first.create_index(name, "tag", "keyword")
        for shard, hosts in (await world.hosts(name)).items():
            await recover(hosts[0], name, shard, tars[shard])
        counts = {int(s): [one["result"]["count"]] for s, one in answers["counts"].items()}
        assert await world.counts(name) == counts
        assert await world.counts(name, ring_filter=True) == counts
        tagged = {"filter": {"must": [{"key": "tag", "match": {"value": "t7"}}]}, "exact": True}
        found = await world.post(0, f"/collections/{name}/points/count", tagged)
        assert found["count"] == answers["t7"]["result"]["count"]
        for query in answers["queries"]:
            body = {"query": query["vector"], "limit": 10, "params": {"exact": True}}
            found = await world.post(1, f"/collections/{name}/points/query", body)
            assert [one["id"] for one in found["points"]] == query["top10"]

    world.run(check())


def _without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in names}


def test_recorded_answers_parse() -> None:
    """The shapes that the adapter reads are those of a real server."""
    answers, _ = recorded("t1")
    peers = {one["result"]["peer_id"] for one in answers["raft"]}
    for raft, placed, told in zip(
        answers["raft"], answers["cluster"], answers["telemetry_3"], strict=True
    ):
        info = parse_cluster(raft["result"])
        placement = parse_placement(placed["result"])
        telemetry = parse_telemetry(told["result"])
        assert set(info.peers) == peers
        assert info.peer_id in peers
        assert telemetry.app_version == "1.18.3"
        shards = telemetry.collections["docs"].shards
        for replica in placement.shards:
            assert (shards[replica.shard_id].op_num is not None) == replica.local
            assert shards[replica.shard_id].replica_states == {replica.peer_id: "Active"}


@pytest.fixture
def other_kind(world: World, runner: asyncio.Runner, tmp_path: Path) -> Iterator[World]:
    """Two peers of the kind that `world` is not."""
    if real_binary() is None:
        pytest.skip(NO_REAL_SERVER)
    peers = launch_peers(2, tmp_path, "standin" if world.kind == "real" else "real")
    started = World(runner, runner.run(peers.__aenter__()))
    try:
        yield started
    finally:
        runner.run(started.close())
        runner.run(peers.__aexit__(None, None, None))
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_shard_goes_to_the_other_kind_and_back(world: World, other_kind: World) -> None:
    """Both read what the other streams, write to it, and route the same."""

    async def check() -> None:
        name = await world.create(shards=3, replicas=1)
        uuids = [f"00000000-0000-4000-8000-{at:012x}" for at in range(200)]
        await world.first.create_index(name, "tag", "keyword")
        await world.upsert(name, points([*range(400), *uuids]))
        here, there, places = world, other_kind, name
        for turn in range(2):
            hosts = await here.hosts(places)
            tars = {shard: await read_stream(one[0], places, shard) for shard, one in hosts.items()}
            target = await there.create(shards=3, replicas=2)
            await there.first.create_index(target, "tag", "keyword")
            for shard, clients in (await there.hosts(target)).items():
                for client in clients:
                    await recover(client, target, shard, tars[shard])
            counts = await there.counts(target)
            assert sum(one[0] for one in counts.values()) == 600
            assert await there.counts(target, ring_filter=True) == counts
            await there.upsert(target, points([*range(400), *uuids], seed=turn + 9))
            assert await there.counts(target) == counts
            here, there, places = there, here, target

    world.run(check())
