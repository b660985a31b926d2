"""Canaries of real backups: read inside the cut, kept of what was quiet, asked after a restore."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import Manifest, parse_manifest
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.core.protocol.documents import Canary
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.report import RestoreDraft
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import put_staged
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.conftest import Launch
from tests.e2e.restore.attempt import CLUSTER, EPOCH, Attempt
from tests.e2e.world import World, refused

NAME = "docs"
STILL, BUSY = "articles", "busy"
WRITERS = 4
TRIES = 5


def manifest_of(world: World, made: dict[str, Any]) -> Manifest:
    (path,) = world.store.rglob(f"groups/{made['epoch']:012d}.json")
    return parse_manifest(path.read_bytes(), str(path))


async def make_busy(qdrant: Qdrant) -> None:
    vectors = {"size": 4, "distance": "Cosine"}
    await qdrant.create_collection(BUSY, {"vectors": vectors, "shard_number": 2})
    await write(qdrant, 0)


async def write(qdrant: Qdrant, number: int) -> None:
    points = [{"id": one, "vector": [1.0, number, one, 1]} for one in range(20)]
    path = f"/collections/{BUSY}/points"
    await qdrant._http.call("PUT", path, {"points": points}, timeout_s=30.0, query={"wait": "true"})


async def back_up_under_writes(world: World) -> dict[str, Any]:
    """A backup that is made while others write to one collection."""

    async def write_on(qdrant: Qdrant) -> None:
        number = 0
        while True:
            number += 1
            with suppress(CleancutError):
                await write(qdrant, number)

    async with world.setup.peers[0].client() as qdrant, asyncio.TaskGroup() as group:
        writers = [group.create_task(write_on(qdrant)) for _ in range(WRITERS)]
        answer = await world.setup.cleancut("backup", "create")
        for writer in writers:
            writer.cancel()
    made: dict[str, Any] = answer.value("backup")
    return made


def in_time(
    make: Callable[[], Manifest], wanted: set[str], moved: Set[str] = frozenset()
) -> Manifest:
    """A group in which just `moved` has moved and the `wanted` collections have canaries. A busy
    machine may not answer within the half second that there is for them, so there are some tries;
    never has a collection canaries that has moved."""
    seen = []
    for _ in range(TRIES):
        made = make()
        busy = {shard.collection for shard in made.shards if not shard.quiet}
        asked = {one.collection for one in made.canaries}
        assert not busy & asked
        if (busy, asked) == (moved, wanted):
            return made
        seen.append((busy, asked))
    pytest.fail(f"no group was as wanted: {seen}")


def test_what_is_quiet_has_canaries(launch: Launch) -> None:
    """A quiet group has them of every collection; under writes the still collection has them, and
    the busy one none."""
    world = launch(peers=2, coordinators=1)
    world.fill()

    async def begin() -> None:
        async with world.setup.peers[0].client() as qdrant:
            await make_busy(qdrant)

    world.run(begin())
    quiet = in_time(lambda: manifest_of(world, world.back_up()), {STILL, BUSY})
    assert quiet.consistency == "point-in-time"
    assert all(len(one.ids) == len(one.scores) == 10 for one in quiet.canaries)
    bounded = in_time(
        lambda: manifest_of(world, world.run(back_up_under_writes(world))), {STILL}, moved={BUSY}
    )
    still = [one for one in quiet.canaries if one.collection == STILL]
    assert list(bounded.canaries) == still


@pytest.fixture
def attempt(pair: list[PeerProcess], runner: asyncio.Runner, tmp_path: Path) -> Iterator[Attempt]:
    """A group of one collection, whose name is free again."""

    async def clean() -> None:
        for name in await one.clients[0].collections():
            await one.clients[0].delete_collection(name)

    one = Attempt(runner, pair, tmp_path)
    one.run(clean())
    one.run(one.make_group(NAME))
    yield one
    one.run(clean())
    one.run(one.close())


async def recovered(
    attempt: Attempt, spoil: Callable[[Canary], Canary] | None = None
) -> list[ShardTask]:
    """The tasks of all agents, done; the draft's first canary is another one then."""
    await attempt.begin()
    if spoil is not None:
        paths = Paths(CLUSTER)
        path = paths.staged(EPOCH, attempt.draft)
        draft = decode(RestoreDraft, await attempt.store.get(path), path)
        canaries = (spoil(draft.canaries[0]), *draft.canaries[1:])
        changed = replace(draft, canaries=canaries)
        attempt.draft = await put_staged(attempt.store, paths, EPOCH, changed)
        await attempt.move(Phase.CREATE)
    tasks = await attempt.create()
    await attempt.recover(tasks)
    return tasks


def test_canaries_are_asked_again(attempt: Attempt) -> None:
    """The same searches give the same answers, and the report says so."""

    async def body() -> None:
        report = await attempt.review(await recovered(attempt))
        (told,) = report.collections
        assert told.canaries_equal is True
        assert told.schema_equal is True
        assert told.counts_equal is True

    attempt.run(body())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda one: replace(one, ids=(10**6, *one.ids[1:])), "1000000"),
        (lambda one: replace(one, scores=(one.scores[0] + 0.01, *one.scores[1:])), "nearest to"),
        (lambda one: replace(one, target=[-x for x in one.target]), "and now are"),
    ],
)
def test_another_answer_is_a_warning(
    attempt: Attempt, spoil: Callable[[Canary], Canary], words: str
) -> None:
    """Counts, ids and checksums have proven the data: a search that answers otherwise is reported
    with both answers, and undoes a restore only if that is asked for."""

    async def body() -> None:
        tasks = await recovered(attempt, spoil)
        report = await attempt.review(tasks)
        (warning,) = report.warnings
        assert NAME in warning
        assert words in warning
        (compared,) = report.collections
        assert compared.canaries_equal is False
        assert compared.counts_equal is True
        await attempt.make_strict()
        with pytest.raises(Corrupt, match="--strict") as raised:
            await attempt.review(tasks)
        assert words in str(raised.value)

    attempt.run(body())


def test_another_answer_does_not_undo_a_good_restore(launch: Launch) -> None:
    """By default a warning with both answers, with --strict a rollback; the true group comes back
    without a warning."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    made = world.back_up()
    true = manifest_of(world, made)
    (path,) = world.store.rglob(f"groups/{made['epoch']:012d}.json")
    first = true.canaries[0]
    wrong = replace(first, scores=tuple(score / 2 for score in first.scores))
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(encode(replace(true, canaries=(wrong, *true.canaries[1:]))))
    world.lose_all(2)
    strict = world.cleancut("restore", "start", made["id"], "--yes", "--strict")
    refused(strict, 9, "articles", "nearest to")
    assert world.collections() == []
    restored = world.ok("restore", "restore", "start", made["id"], "--yes")
    (warning,) = restored["warnings"]
    assert "nearest to" in warning
    assert "and now are" in warning
    (found,) = restored["collections"]
    assert found["sample_queries_equal"] is False
    assert found["counts_equal"] is True
    path.write_bytes(data)
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", made["id"], "--yes")
    assert restored["warnings"] == []
    (found,) = restored["collections"]
    assert found["sample_queries_equal"] is True
    assert found["schema_equal"] is True
    assert found["keys_equal"] is None
    assert found["status"] in {"green", "yellow", "grey"}
    shown = world.offline("backup", "show", made["id"]).value("backup")
    assert shown["evidence"]["sample_queries"] == len(true.canaries) > 0


@pytest.mark.adversity("equal ids under several shard keys")
def test_equal_ids_under_several_shard_keys_come_back(launch: Launch) -> None:
    """Tenants that number their points from 1: a search by a bare id is answered by chance."""
    world = launch(peers=2, coordinators=1)

    async def fill() -> None:
        async with world.setup.peers[0].client() as qdrant:
            vectors = {"size": 8, "distance": "Cosine", "datatype": "float16"}
            body = {"vectors": vectors, "sharding_method": "custom", "shard_number": 1}
            await qdrant.create_collection("tenants", body)
            source = random.Random(1)
            for key in ("a", "b", "c", "d"):
                await qdrant.create_shard_key("tenants", {"shard_key": key, "shards_number": 1})
                points = [
                    {"id": one, "vector": [source.gauss(0, 1) for _ in range(8)]}
                    for one in range(1, 41)
                ]
                await qdrant._http.call(
                    "PUT",
                    "/collections/tenants/points",
                    {"points": points, "shard_key": key},
                    timeout_s=30.0,
                    query={"wait": "true"},
                )

    world.run(fill())
    made = in_time(lambda: manifest_of(world, world.back_up()), {"tenants"})
    assert {one.shard_key for one in made.canaries} <= {"a", "b", "c", "d"}
    assert {one.shard_key for one in made.shards} == {"a", "b", "c", "d"}
    drilled = world.offline("backup", "drill", str(made.epoch)).value("drill")
    assert drilled["warnings"] == drilled["problems"] == drilled["damaged"] == []
    assert drilled["sample_queries"] == drilled["sample_queries_equal"] > 0
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", str(made.epoch), "--yes")
    assert restored["warnings"] == []
    (found,) = restored["collections"]
    assert found["sample_queries_equal"] is True
