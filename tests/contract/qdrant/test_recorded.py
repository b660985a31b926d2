"""Tars that real Qdrants of several versions once streamed, and what they answered then.

`python -m tests.support.record_qdrant` recorded those of 1.19.0.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cleancut.core.primitives.ids import parse_version
from cleancut.qdrant.responses import parse_cluster, parse_placement, parse_telemetry
from cleancut_devcluster.launch.qdrant import launch_peers, real_binary
from tests.contract.qdrant.conftest import NO_REAL_SERVER
from tests.contract.qdrant.world import World, points, read_stream, recover

DATA = Path(__file__).parents[2] / "data"
VERSIONS = ("1.18.3", "1.19.0")
each_version = pytest.mark.parametrize("version", VERSIONS)


def recorded(version: str, moment: str) -> tuple[dict[str, Any], dict[int, bytes]]:
    """The answers at `moment`, and each shard's tar."""
    folder = DATA / f"qdrant-{version}"
    answers: dict[str, Any] = json.loads((folder / f"{moment}.json").read_text())
    tars = {
        shard: gzip.decompress((folder / f"{moment}-shard{shard}.tar.gz").read_bytes())
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


@each_version
@pytest.mark.parametrize("moment", ["t0", "t1"])
def test_recorded_tars_restore_to_the_recorded_answers(
    world: World, moment: str, version: str
) -> None:
    """Counts, filtered counts, exact top-10 and routing are those of that day. What a newer server
    streamed is restored to an older one by the stand-in alone."""

    async def check() -> None:
        running = parse_version(await world.first.version())
        if world.kind == "real" and running < parse_version(version):
            pytest.skip(f"a Qdrant {version} streamed it, {running} may not read it")
        answers, tars = recorded(version, moment)
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


@each_version
def test_recorded_answers_parse(version: str) -> None:
    """The shapes that the adapter reads are those of a real server."""
    answers, _ = recorded(version, "t1")
    peers = {one["result"]["peer_id"] for one in answers["raft"]}
    for raft, placed, told in zip(
        answers["raft"], answers["cluster"], answers["telemetry_3"], strict=True
    ):
        info = parse_cluster(raft["result"])
        placement = parse_placement(placed["result"])
        telemetry = parse_telemetry(told["result"])
        assert set(info.peers) == peers
        assert info.peer_id in peers
        assert telemetry.app_version == version
        shards = telemetry.collections["docs"].shards
        for replica in placement.shards:
            assert (shards[replica.shard_id].op_num is not None) == replica.local
            assert shards[replica.shard_id].replica_states == {replica.peer_id: "Active"}


def paths_of(value: Any, at: str) -> Iterator[str]:
    """The fields in an answer; names that are numbers or uuids are one."""
    if isinstance(value, dict):
        for key, below in value.items():
            path = f"{at}/{re.sub(r'^([0-9]+|[0-9a-f-]{36})$', '#', key)}"
            yield path
            yield from paths_of(below, path)
    elif isinstance(value, list):
        for below in value:
            yield from paths_of(below, at)


ASKED = {
    "aliases": "/aliases",
    "cluster": "/collections/{name}/cluster",
    "collection": "/collections/{name}",
    "raft": "/cluster",
    "telemetry_3": "/telemetry?details_level=3",
}


def test_the_stand_in_answers_with_recorded_fields_only(world: World) -> None:
    """So nothing that reads them relies on what no real server says. Counters of requests are named
    by what was asked."""
    if world.kind == "real":
        pytest.skip("a real server's fields are what they are")

    async def check() -> None:
        name = await world.create(shards=2)
        await world.first.create_index(name, "tag", "keyword")
        await world.upsert(name, points(range(20)))
        for kind, path in ASKED.items():
            known = {
                found
                for version in VERSIONS
                for moment in ("t0", "t1")
                for found in paths_of(recorded(version, moment)[0][kind], kind)
            }
            async with (
                aiohttp.ClientSession() as session,
                session.get(world.peers[0].url + path.format(name=name)) as response,
            ):
                answered = set(paths_of(await response.json(), kind))
            unknown = {one for one in answered - known if "/responses/" not in one}
            assert unknown == set(), kind

    world.run(check())


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
