"""The leader's schedules on an etcd in memory: leaders change, and nothing starts twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace as replace_
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.maintenance.due_times import OVERTAKEN
from cleancut.core.maintenance.schedule import Do, Overlap, ScheduleRule
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Fenced, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.services import coordinator_api
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.scheduler import read_state
from cleancut_devcluster.launch.process import wait_for
from tests.support.schedule_cluster import HOUR_S, HOURLY, NOON_S, Cluster


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_times_that_nothing_was_started_for_are_in_the_record() -> None:
    """Those that passed without a leader, and those at which one was busy."""

    async def body() -> None:
        cluster = Cluster()
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 1)
        await cluster.run_until(await cluster.lead(), NOON_S + 2 * HOUR_S + 1)
        (first,) = await cluster.started()
        await cluster.end(first)
        cluster.clock.now_s = NOON_S + 6 * HOUR_S + 1
        await cluster.run_until(await cluster.lead(), NOON_S + 6 * HOUR_S + 2)
        state = await read_state(cluster.context, "hourly")
        assert state is not None
        assert [(one.times, one.why) for one in state.missed] == [
            (1, "the one before was still under way"),
            (3, OVERTAKEN),
        ]
        assert len(await cluster.started()) == 2

    run(body())


def test_a_due_one_starts_as_configured_and_the_next_leader_does_not_start_it_again() -> None:
    async def body() -> None:
        cluster = Cluster()
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S - 1)
        assert await cluster.started() == []
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 1)
        (first,) = await cluster.started()
        assert cluster.poked == 1
        asked = decode(BackupRequest, first.request.encode(), "")
        assert asked == BackupRequest(collections=("docs",), attempts=7, schedule="hourly")
        await cluster.end(first)
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 600)
        assert [one.id for one in await cluster.started()] == [first.id]
        await cluster.run_until(await cluster.lead(), NOON_S + 2 * HOUR_S + 1)
        assert len(await cluster.started()) == 2

    run(body())


def test_a_deposed_leader_starts_nothing() -> None:
    async def body() -> None:
        cluster = Cluster()
        old = await cluster.lead()
        await cluster.run_until(old, NOON_S + 60)
        await cluster.lead()
        cluster.clock.ends_s = NOON_S + 9 * HOUR_S
        await old.run()
        assert await cluster.started() == []
        with pytest.raises(Fenced):
            await old.trigger("hourly", "r1")
        with pytest.raises(Fenced):
            await old.pause("hourly", paused=True)

    run(body())


def test_after_a_downtime_one_starts() -> None:
    async def body() -> None:
        cluster = Cluster()
        await cluster.run_until(await cluster.lead(), NOON_S + 60)
        cluster.clock.now_s += 50 * HOUR_S
        await cluster.run_until(await cluster.lead(), cluster.clock.now_s + 60)
        assert len(await cluster.started()) == 1
        state = await read_state(cluster.context, "hourly")
        assert state is not None
        assert state.due == "2026-06-17T14:00:00.000Z"

    run(body())


@pytest.mark.parametrize("overlap", list(Overlap))
def test_the_next_one_waits_for_the_one_before_or_is_skipped(overlap: Overlap) -> None:
    async def body() -> None:
        cluster = Cluster(replace(HOURLY, overlap=overlap))
        await cluster.run_until(await cluster.lead(), NOON_S + 3 * HOUR_S + 60)
        (first,) = await cluster.started()
        await cluster.end(first)
        await cluster.run_until(await cluster.lead(), NOON_S + 3 * HOUR_S + 120)
        state = await read_state(cluster.context, "hourly")
        assert state is not None
        if overlap is Overlap.QUEUE:
            assert [one.id for one in await cluster.started()] == [first.id, state.operation]
            assert state.due == "2026-06-15T15:00:00.000Z"
        else:
            assert [one.id for one in await cluster.started()] == [first.id]
            assert (state.skipped, state.why) == (
                "2026-06-15T15:00:00.000Z",
                "the one before was still under way",
            )

    run(body())


def test_paused_times_pass_and_are_not_caught_up_with() -> None:
    async def body() -> None:
        cluster = Cluster()
        leader = await cluster.lead()
        await leader.pause("hourly", paused=True)
        await cluster.run_until(await cluster.lead(), NOON_S + 5 * HOUR_S)
        cluster.clock.now_s = NOON_S + 8 * HOUR_S + 60
        leader = await cluster.lead()
        await leader.pause("hourly", paused=False)
        await leader.pause("hourly", paused=False)
        await cluster.run_until(leader, NOON_S + 9 * HOUR_S - 1)
        assert await cluster.started() == []
        await cluster.run_until(leader, NOON_S + 9 * HOUR_S + 1)
        assert len(await cluster.started()) == 1

    run(body())


def test_a_trigger_starts_one_now_once() -> None:
    async def body() -> None:
        cluster = Cluster()
        leader = await cluster.lead()
        await leader.pause("hourly", paused=True)
        first = await leader.trigger("hourly", "r1")
        assert (await leader.trigger("hourly", "r1")).id == first.id
        with pytest.raises(Refused):
            await leader.trigger("hourly", "r2")
        await cluster.end(first)
        assert (await leader.trigger("hourly", "r2")).id != first.id
        with pytest.raises(NotFound):
            await leader.trigger("daily", "r3")
        assert cluster.poked == 3

    run(body())


def test_a_triggered_one_counts_as_under_way() -> None:
    async def body() -> None:
        cluster = Cluster()
        leader = await cluster.lead()
        await cluster.run_until(leader, NOON_S + 60)
        first = await leader.trigger("hourly", "r1")
        await cluster.run_until(leader, NOON_S + HOUR_S + 60)
        assert [one.id for one in await cluster.started()] == [first.id]

    run(body())


def test_a_clock_that_was_far_ahead_and_is_set_right() -> None:
    """A time that comes again starts one again, once; nothing waits for the far time."""

    async def body() -> None:
        cluster = Cluster()
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 60)
        cluster.clock.now_s = NOON_S + 72 * HOUR_S
        for operation in await cluster.started():
            await cluster.end(operation)
        await cluster.run_until(await cluster.lead(), NOON_S + 72 * HOUR_S + 60)
        assert len(await cluster.started()) == 2
        for operation in await cluster.started():
            await cluster.end(operation)
        cluster.clock.now_s = NOON_S + 600
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 60)
        assert len(await cluster.started()) == 3

    run(body())


def test_one_whose_record_cannot_be_read_begins_again() -> None:
    """It has its turn at its next time, and keeps no other from its own."""

    async def body() -> None:
        cluster = Cluster()
        cluster.context = replace_(
            cluster.context, file_schedules={"broken": HOURLY, **cluster.context.file_schedules}
        )
        key = cluster.context.keys.schedule("broken")
        await cluster.context.etcd.txn([], [Put(key, b"{")])
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S + 60)
        requests = [
            decode(BackupRequest, one.request.encode(), "") for one in await cluster.started()
        ]
        assert sorted(one.schedule for one in requests) == ["broken", "hourly"]

    run(body())


async def outcome(cluster: Cluster, other_than: str) -> str | None:
    state = await read_state(cluster.context, "hourly")
    return state.outcome if state and state.outcome != other_than else None


def test_a_drill_runs_beside_and_its_outcome_is_kept(tmp_path: Path) -> None:
    """Here there is nothing to drill; the next leader does not begin it again."""

    async def body() -> None:
        cluster = Cluster(ScheduleRule(do=Do.DRILL, cron="0 * * * *"), store=f"file://{tmp_path}")
        await cluster.run_until(await cluster.lead(), NOON_S + HOUR_S - 1)
        leader = await cluster.lead()
        with pytest.raises(Refused):
            await leader.trigger("hourly", "r1")
        cluster.clock.real = True
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            running = group.create_task(leader.run())
            cluster.clock.now_s = NOON_S + HOUR_S + 1
            seen = [await wait_for(partial(outcome, cluster, ""), "a begin", 30.0, 0.02)]
            seen += [await wait_for(partial(outcome, cluster, seen[0]), "an end", 30.0, 0.02)]
            running.cancel()
        assert seen[0] == "under way"
        assert "it is empty" in seen[1]
        assert await cluster.started() == []

    run(body())


def standby() -> Leadership:
    raise Unavailable("this coordinator does not lead", "ask the leader")


def test_what_the_api_shows() -> None:
    async def body() -> None:
        cluster = Cluster(replace(HOURLY, jitter_s=600.0))
        api = coordinator_api(cluster.context, standby, lambda: "").schedules
        (shown,) = (await api.list_schedules()).schedules
        assert (shown.name, shown.last_id, shown.last_state) == ("hourly", "", None)
        assert shown.next_at is not None
        assert "2026-06-15T13:00:00Z" <= shown.next_at < "2026-06-15T13:10:00Z"
        leader = await cluster.lead()
        await cluster.run_until(leader, NOON_S + HOUR_S + 601)
        (shown,) = (await api.list_schedules()).schedules
        assert shown.last_due_at == "2026-06-15T13:00:00Z"
        assert shown.last_state is State.PENDING
        assert OperationId(shown.last_id) == (await cluster.started())[0].id
        await leader.pause("hourly", paused=True)
        (shown,) = (await api.list_schedules()).schedules
        assert (shown.paused, shown.next_at) == (True, None)
        with pytest.raises(Unavailable):
            await api.trigger_schedule("hourly", "r1")

    run(body())
