"""Restores under other names: what is created, published, kept, and never touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Fenced, NotFound, Refused
from cleancut.core.primitives.ids import FencingToken, OperationId, ShardId
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.overwrite import OldData
from cleancut.core.restore.plan import CollectionPlan
from cleancut.core.restore.report import ReplacedCollection
from cleancut.ports.coordination import Created, Put
from cleancut.repository.holds import reasons_of
from cleancut_coordinator.maintenance.expiry import put_tombstone
from cleancut_coordinator.restore.drop_replaced import drop_replaced, remaining_replaced
from cleancut_coordinator.restore.overwrite import delete_old
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.restore.attempt import BACKUP, POINTS, Attempt

NAME, OLD, NEW = "docs", "docs@old", "docs@r-1"
OLD_POINTS = 7
REPLACE = CollectionPlan(
    name=NAME,
    published_as="live",
    created_as=NEW,
    action="replace",
    shards=2,
    replicas=1,
    size_bytes=1,
    shard_ids=(ShardId(0), ShardId(1)),
    aliases=("archive", "live"),
    replaced=(("live", OLD),),
)
BESIDE = replace(REPLACE, action="beside", published_as="fresh", aliases=("fresh",), replaced=())


@pytest.fixture
def attempt(pair: list[PeerProcess], runner: asyncio.Runner, tmp_path: Path) -> Iterator[Attempt]:
    """A group of `docs`, whose names are in use: other data lives as `docs`, and more behind the
    aliases `live` and `other`."""

    async def empty() -> None:
        for name in await one.clients[0].collections():
            await one.clients[0].delete_collection(name)

    async def fill() -> None:
        await empty()
        await one.make_group(NAME, aliases=("live", "archive"))
        for name in (NAME, OLD):
            vectors = {"size": 64, "distance": "Dot"}
            await one.clients[0].create_collection(name, {"vectors": vectors, "shard_number": 2})
            await one.upsert(name, range(OLD_POINTS))
        await point(one, live=OLD, other=OLD)

    one = Attempt(runner, pair, tmp_path)
    one.run(fill())
    yield one
    one.run(empty())
    one.run(one.close())


async def point(attempt: Attempt, **aliases: str) -> None:
    await attempt.clients[0].change_aliases(
        [
            {"create_alias": {"alias_name": alias, "collection_name": name}}
            for alias, name in aliases.items()
        ]
    )


async def check_old(attempt: Attempt) -> None:
    """What was there before is as it was."""
    assert await attempt.count(OLD) == OLD_POINTS
    assert await attempt.count(NAME) == OLD_POINTS


def test_replace_points_the_aliases_to_the_new_data_and_keeps_the_old(attempt: Attempt) -> None:
    """One alias that exists and one that does not; another alias of the old data stays."""

    async def body() -> None:
        await attempt.begin_as(REPLACE)
        tasks = await attempt.create()
        assert {task.collection for task in tasks} == {NEW}
        await attempt.recover(tasks)
        assert await attempt.clients[1].aliases() == {"live": OLD, "other": OLD}
        report = await attempt.review(tasks)
        await attempt.reveal()
        await attempt.reveal()
        for client in attempt.clients:
            assert await client.aliases() == {"live": NEW, "archive": NEW, "other": OLD}
        assert await attempt.count(NEW) == POINTS
        await check_old(attempt)
        (told,) = report.collections
        assert (told.name, told.created_as, told.published_as) == (NAME, NEW, "live")
        assert (told.counts_equal, told.schema_equal, told.keys_equal) == (True, True, None)
        assert told.status == "green"
        assert {shard.collection for shard in report.shards} == {NAME}
        (kept,) = report.kept
        uuid = (await attempt.clients[0].telemetry()).collections[OLD].uuid
        assert (kept.collection, kept.uuid, kept.aliases) == (OLD, uuid, ("live",))

    attempt.run(body())


def test_a_failed_replace_leaves_aliases_and_data_alone(attempt: Attempt) -> None:
    async def body() -> None:
        await attempt.begin_as(REPLACE)
        await attempt.recover(await attempt.create())
        await attempt.undo()
        await attempt.undo()
        assert await attempt.clients[1].aliases() == {"live": OLD, "other": OLD}
        assert await attempt.clients[0].collections() == [NAME, OLD]
        await check_old(attempt)

    attempt.run(body())


async def replaced(attempt: Attempt) -> tuple[ReplacedCollection, ...]:
    """A replace that is done, and what it has kept."""
    await attempt.begin_as(REPLACE)
    tasks = await attempt.create()
    await attempt.recover(tasks)
    report = await attempt.review(tasks)
    await attempt.reveal()
    return report.kept


async def clean(
    attempt: Attempt, kept: tuple[ReplacedCollection, ...], token: int | None = None
) -> None:
    """As the leader, which holds `token`."""
    context = attempt.context
    await attempt.etcd.txn([Created(context.keys.leader, 0)], [Put(context.keys.leader, b"{}")])
    found = await attempt.etcd.get(context.keys.leader)
    assert found is not None
    await drop_replaced(context, FencingToken(token or found.create_revision), kept)


def test_clean_drops_the_old_data_once_nothing_points_to_it(attempt: Attempt) -> None:
    """An alias that still needs it is named; a repeat finds nothing to do."""

    async def body() -> None:
        kept = await replaced(attempt)
        assert await remaining_replaced(attempt.context, kept) == kept
        with pytest.raises(Refused, match="alias 'other' points"):
            await clean(attempt, kept)
        await check_old(attempt)
        await point(attempt, other=NEW)
        await clean(attempt, kept)
        await clean(attempt, kept)
        assert await attempt.clients[0].collections() == [NAME, NEW]
        assert await remaining_replaced(attempt.context, kept) == ()
        assert await attempt.count(NEW) == POINTS

    attempt.run(body())


def test_clean_never_drops_what_took_the_old_name(attempt: Attempt) -> None:
    """Another uuid is other data; without a uuid nobody can tell."""

    async def body() -> None:
        kept = await replaced(attempt)
        await attempt.clients[0].delete_collection(OLD)
        vectors = {"size": 64, "distance": "Dot"}
        await attempt.clients[0].create_collection(OLD, {"vectors": vectors, "shard_number": 2})
        await attempt.upsert(OLD, range(OLD_POINTS))
        await clean(attempt, kept)
        with pytest.raises(Refused, match="no uuid"):
            await clean(attempt, tuple(replace(one, uuid="") for one in kept))
        await check_old(attempt)

    attempt.run(body())


def test_clean_is_for_the_leader(attempt: Attempt) -> None:
    async def body() -> None:
        kept = await replaced(attempt)
        await point(attempt, other=NEW)
        with pytest.raises(Fenced):
            await clean(attempt, kept, token=10**6)
        await check_old(attempt)

    attempt.run(body())


@pytest.mark.parametrize("change", ["moved", "deleted"])
def test_an_alias_that_somebody_changed_meanwhile_is_not_replaced(
    attempt: Attempt, change: str
) -> None:
    """Found before anything is published, and again by a leader that publishes late."""

    async def body() -> None:
        await attempt.begin_as(REPLACE)
        tasks = await attempt.create()
        await attempt.recover(tasks)
        if change == "moved":
            await point(attempt, live=NAME)
        else:
            await attempt.clients[0].change_aliases([{"delete_alias": {"alias_name": "live"}}])
        before = await attempt.clients[0].aliases()
        with pytest.raises(Refused, match="meanwhile"):
            await attempt.review(tasks)
        with pytest.raises(Refused, match="meanwhile"):
            await attempt.reveal()
        assert await attempt.clients[0].aliases() == before

    attempt.run(body())


def test_a_name_that_became_a_collection_publishes_nothing(attempt: Attempt) -> None:
    """The other alias is not set alone: a failing action would keep those before it."""

    async def body() -> None:
        await attempt.begin_as(replace(REPLACE, aliases=("a", "z"), replaced=()))
        await attempt.recover(await attempt.create())
        await attempt.clients[0].create_collection("z", {"vectors": {"size": 4, "distance": "Dot"}})
        with pytest.raises(Refused, match="name of a collection"):
            await attempt.reveal()
        assert await attempt.clients[0].aliases() == {"live": OLD, "other": OLD}

    attempt.run(body())


def test_a_leader_that_is_none_any_more_publishes_nothing(attempt: Attempt) -> None:
    async def body() -> None:
        await attempt.begin_as(REPLACE)
        await attempt.recover(await attempt.create())
        await attempt.move(Phase.ROLLBACK)
        with pytest.raises(Fenced):
            await attempt.reveal_now()
        assert await attempt.clients[0].aliases() == {"live": OLD, "other": OLD}

    attempt.run(body())


def test_beside_stands_next_to_what_exists(attempt: Attempt) -> None:
    """Nothing is seen of it under its published name until the end."""

    async def body() -> None:
        await attempt.begin_as(BESIDE)
        tasks = await attempt.create()
        await attempt.recover(tasks)
        assert "fresh" not in await attempt.clients[1].aliases()
        assert (await attempt.review(tasks)).kept == ()
        await attempt.reveal()
        assert (await attempt.clients[1].aliases())["fresh"] == NEW
        assert await attempt.count(NEW) == POINTS
        await check_old(attempt)

    attempt.run(body())


def test_a_renamed_collection_is_made_under_the_new_name_only(attempt: Attempt) -> None:
    async def body() -> None:
        renamed = replace(BESIDE, action="create", created_as="tomes", published_as="tomes")
        await attempt.begin_as(replace(renamed, aliases=()))
        await attempt.recover(await attempt.create())
        await attempt.reveal()
        assert await attempt.clients[0].collections() == [NAME, OLD, "tomes"]
        assert await attempt.count("tomes") == POINTS
        await check_old(attempt)
        await attempt.undo()
        assert await attempt.clients[0].collections() == [NAME, OLD]

    attempt.run(body())


async def overwriting(attempt: Attempt) -> None:
    """An attempt that has recovered all, and may delete the old `docs`."""
    uuid = (await attempt.clients[0].telemetry()).collections[NAME].uuid
    there = (await attempt.clients[0].placement(NAME)).shards
    shards = tuple(sorted({ShardId(one.shard_id) for one in there}))
    old = OldData(NAME, uuid or "", BACKUP, OperationId("b-1"), shards, (), ())
    await point(attempt, live=NAME)
    over = replace(BESIDE, action="overwrite", published_as=NAME, aliases=(NAME, "live"))
    await attempt.begin_as(replace(over, replaced=(("live", NAME),)))
    await attempt.recover(await attempt.create())
    await attempt.change_draft(old=old)


def test_an_overwrite_goes_on_after_its_deletion(attempt: Attempt) -> None:
    """A leader that finds the old collection deleted makes the alias; a repeat changes nothing."""

    async def body() -> None:
        await overwriting(attempt)
        await attempt.move(Phase.PUBLISH)
        draft = await attempt.read_draft()
        assert not await delete_old(attempt.context, draft, None)
        assert NAME in await attempt.clients[0].collections(), "deleted unread"
        assert await delete_old(attempt.context, draft, attempt.context.clock.monotonic_s())
        assert await attempt.clients[0].aliases() == {"live": NEW, "other": OLD}
        for _ in range(2):
            await attempt.reveal()
            for client in attempt.clients:
                assert await client.aliases() == {NAME: NEW, "live": NEW, "other": OLD}
        assert await attempt.clients[0].collections() == [OLD, NEW]
        assert await attempt.count(NEW) == POINTS
        labels = await reasons_of(attempt.store, attempt.context.paths, BACKUP, 0.0)
        assert labels == ("overwrite-r-1",)

    attempt.run(body())


def test_what_a_client_creates_again_is_not_deleted(attempt: Attempt) -> None:
    """Just then: the message names where both the new and the old data are."""

    async def body() -> None:
        await overwriting(attempt)
        await attempt.clients[0].delete_collection(NAME)
        vectors = {"size": 64, "distance": "Dot"}
        await attempt.clients[0].create_collection(NAME, {"vectors": vectors, "shard_number": 2})
        await attempt.upsert(NAME, range(OLD_POINTS))
        with pytest.raises(Refused, match=f"in '{NEW}', and the old data in backup 1"):
            await attempt.reveal()
        await check_old(attempt)

    attempt.run(body())


def test_without_its_backup_the_old_collection_stays(attempt: Attempt) -> None:
    async def body() -> None:
        await overwriting(attempt)
        await put_tombstone(attempt.context, BACKUP, "by hand")
        await attempt.move(Phase.PUBLISH)
        with pytest.raises(NotFound):
            await delete_old(attempt.context, await attempt.read_draft(), None)
        await check_old(attempt)

    attempt.run(body())
