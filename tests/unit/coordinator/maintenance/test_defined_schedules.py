"""Schedules that calls define: kept in etcd, under the rules of the file's."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from cleancut.api.schedules import RetentionRules, Schedule
from cleancut.core.maintenance.schedule import DefinedSchedule, Do, ScheduleRule
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Fenced, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import FencingToken, OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.schedules import ScheduleService
from cleancut_coordinator.api.services import coordinator_api
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.protection import promises_of
from cleancut_coordinator.maintenance.scheduler import Scheduler, read_state
from cleancut_coordinator.monitoring.cluster_reader import read_cluster
from cleancut_coordinator.schedules import (
    MAX_DEFINED,
    read_policy,
    read_schedules,
)
from cleancut_devcluster.launch.process import wait_for
from tests.support.schedule_cluster import HOUR_S, NOON_S, Cluster

HOURLY = Schedule(name="own", cron="0 * * * *", collections=("docs",))
OWNER = "CleancutSchedule qdrant/own"


class Scene(Cluster):
    """The file has `hourly`, on the hour; calls go to the leader that came last."""

    def __init__(self) -> None:
        super().__init__(ScheduleRule(cron="30 3 1 1 *"))
        self.leader: Scheduler | None = None

    async def take_over(self) -> Scheduler:
        self.leader = await self.lead()
        return self.leader

    @property
    def api(self) -> ScheduleService:
        found = coordinator_api(self.context, self._leading, lambda: "").schedules
        assert isinstance(found, ScheduleService)
        return found

    def _leading(self) -> Leadership:
        rest: Any = None
        return Leadership(FencingToken(1), rest, rest, cast("Scheduler", self.leader), rest, rest)

    async def put(self, schedule: Schedule = HOURLY) -> Schedule:
        return await self.api.put_schedule(schedule)

    async def delete(self, revision: int, owner: str = "", name: str = "own") -> None:
        await self.api.delete_schedule(name, revision=revision, owner=owner)

    async def find(self, name: str = "own") -> Schedule | None:
        listed = (await self.api.list_schedules()).schedules
        return next((one for one in listed if one.name == name), None)

    async def run_to(self, until_s: float) -> None:
        assert self.leader is not None
        await self.run_until(self.leader, until_s)


def scene(body: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
    """Runs the test with a leader."""

    async def run() -> None:
        one = Scene()
        await one.take_over()
        await body(one)

    def test() -> None:
        asyncio.run(run())

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


@scene
async def test_one_is_put_listed_and_started_and_the_next_leader_has_it(one: Scene) -> None:
    made = await one.put(replace(HOURLY, labels={"team": "search"}, attempts=3))
    assert (made.origin, made.owner, made.do, made.time_zone) == ("api", "", "backup", "UTC")
    assert (made.attempts, made.labels, made.next_at) == (
        3,
        {"team": "search"},
        "2026-06-15T13:00:00Z",
    )
    assert made.revision > 0
    file = await one.find("hourly")
    assert file is not None
    assert (file.origin, file.revision) == ("file", 0)
    await one.take_over()
    await one.run_to(NOON_S + HOUR_S + 60)
    (started,) = await one.started()
    shown = await one.find()
    assert shown is not None
    assert (shown.last_id, shown.last_due_at) == (started.id, "2026-06-15T13:00:00Z")
    assert shown.revision == made.revision


@scene
async def test_a_repeat_changes_nothing_and_two_writers_do_not_undo_each_other(one: Scene) -> None:
    first = await one.put()
    assert await one.put() == first
    changed = await one.put(replace(HOURLY, revision=first.revision, attempts=9))
    assert changed.revision > first.revision
    with pytest.raises(Refused, match="revision"):
        await one.put(replace(HOURLY, revision=first.revision, attempts=2))
    with pytest.raises(Refused, match="revision"):
        await one.delete(first.revision)
    assert await one.find() == changed
    await one.delete(changed.revision)
    await one.delete(changed.revision)
    assert await one.find() is None
    with pytest.raises(NotFound):
        await one.delete(0)
    with pytest.raises(Refused, match="deleted meanwhile"):
        await one.put(replace(HOURLY, revision=changed.revision))


@scene
async def test_a_name_of_the_file_cannot_be_changed_by_a_call(one: Scene) -> None:
    for call in (one.put(replace(HOURLY, name="hourly")), one.delete(0, name="hourly")):
        with pytest.raises(Refused, match="settings file") as told:
            await call
        assert "[schedule.hourly]" in told.value.hint


@scene
async def test_a_name_that_the_file_takes_counts_as_there_until_it_is_gone(one: Scene) -> None:
    made = await one.put()
    before = one.context
    own = ScheduleRule(cron="@daily")
    one.context = dataclasses.replace(before, file_schedules={"own": own})
    await one.take_over()
    shown = await one.find()
    assert shown is not None
    assert (shown.origin, shown.cron, shown.revision) == ("file", "@daily", 0)
    with pytest.raises(Refused, match="settings file"):
        await one.put(replace(HOURLY, revision=made.revision, attempts=2))
    await one.delete(made.revision)
    assert (await read_state(one.context, "own")) is not None
    one.context = before
    assert await one.find() is None


@scene
async def test_it_has_one_owner(one: Scene) -> None:
    made = await one.put(replace(HOURLY, owner=OWNER))
    for other in ("", "CleancutSchedule staging/own"):
        with pytest.raises(Refused, match="CleancutSchedule qdrant/own"):
            await one.put(replace(HOURLY, owner=other, revision=made.revision))
    with pytest.raises(Refused, match="CleancutSchedule qdrant/own"):
        await one.delete(made.revision, owner="CleancutSchedule staging/own")
    await one.delete(made.revision)  # a person may
    assert await one.find() is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cron": "never"}, "fields"),
        ({"cron": ""}, "cron"),
        ({"time_zone": "Mars"}, "time zone"),
        ({"do": "sleep"}, "use one of backup, verify, drill, copy"),
        ({"overlap": "both"}, "use one of skip, queue"),
        ({"do": "copy", "collections": ()}, "store"),
        ({"do": "copy", "collections": (), "to": "second"}, r"no \[store.second\]"),
        ({"attempts": 99}, "attempts"),
        ({"percent": 10}, "percent"),
        ({"jitter_s": 7200.0}, "jitter"),
        ({"jitter_s": math.nan}, "finite"),
        ({"start_within_s": math.inf}, "finite"),
        ({"max_age_s": 60.0}, "max-age"),
        ({"fence": ("all",)}, "fence"),
        ({"labels": {"": "x"}}, "label"),
        ({"retention": RetentionRules(max_age_days=math.nan)}, "finite"),
        ({"retention": RetentionRules(keep_last=1_000_001)}, "keep-last"),
        ({"name": "Own/1"}, "not a valid name"),
        ({"exclude": tuple("x" * 200 + str(n) for n in range(400))}, "bytes"),
    ],
)
def test_it_is_checked_as_the_file_is(changes: dict[str, object], told: str) -> None:
    @scene
    async def body(one: Scene) -> None:
        with pytest.raises(Invalid, match=told):
            await one.put(replace(HOURLY, **changes))
        assert len(await read_schedules(one.context)) == 1

    body()


@scene
async def test_what_etcd_holds_and_cannot_be_one_is_passed_over_and_reported(one: Scene) -> None:
    keys, told = one.context.keys, dict[str, str]()
    one.context.skipped.report = told.__setitem__
    copy = ScheduleRule(cron="@daily", do=Do.COPY, to="gone")
    bad = {
        "torn": b"{",
        "never": encode(DefinedSchedule(rule=ScheduleRule(cron="0 0 31 2 *"))),
        "gone": encode(DefinedSchedule(rule=copy)),
        "newer": b'{"rule":{"cron":"@daily","colour":"red"}}',
    }
    for name, value in bad.items():
        await one.context.etcd.txn([], [Put(keys.schedule_rule(name), value)])
    await one.put()
    assert sorted(await read_schedules(one.context)) == ["hourly", "own"]
    assert set(told) == {keys.schedule_rule(name) for name in bad}
    await one.run_to(NOON_S + HOUR_S + 60)
    assert len(await one.started()) == 1
    await one.put(replace(HOURLY, name="torn"))
    await one.delete(0, name="never")
    assert sorted(await read_schedules(one.context)) == ["hourly", "own", "torn"]


@scene
async def test_none_of_the_past_is_made_up_for_after_it_was_deleted(one: Scene) -> None:
    """Nor when only its times have changed."""
    made = await one.put()
    await one.run_to(NOON_S + HOUR_S + 60)
    (first,) = await one.started()
    await one.delete(made.revision)
    assert await read_state(one.context, "own") is None
    await one.run_to(NOON_S + 3 * HOUR_S + 60)
    again = await one.put()
    assert (again.last_id, again.next_at) == ("", "2026-06-15T16:00:00Z")
    await one.run_to(NOON_S + 3 * HOUR_S + 600)
    daily = await one.put(replace(HOURLY, revision=again.revision, cron="0 15 * * *"))
    assert daily.next_at == "2026-06-16T15:00:00Z"
    await one.run_to(NOON_S + 4 * HOUR_S + 60)
    assert [each.id for each in await one.started()] == [first.id]


@scene
async def test_one_that_moves_from_the_file_makes_up_for_nothing_and_stays_paused(
    one: Scene,
) -> None:
    file = ScheduleRule(cron="0 * * * *")
    before = one.context
    one.context = dataclasses.replace(before, file_schedules={"own": file})
    await (await one.take_over()).pause("own", paused=True)
    await one.run_to(NOON_S + 60)
    one.context = before
    await one.take_over()
    await one.run_to(NOON_S + 3 * HOUR_S + 60)
    made = await one.put()
    assert (made.paused, made.next_at) == (True, None)
    resumed = await one.api.pause_schedule("own", paused=False)
    assert resumed.next_at == "2026-06-15T16:00:00Z"
    assert await one.started() == []


@scene
async def test_a_change_while_its_backup_runs_leaves_that_alone(one: Scene) -> None:
    """The next one knows of it; a deletion does not stop it either."""
    made = await one.put()
    await one.run_to(NOON_S + HOUR_S + 60)
    (first,) = await one.started()
    changed = await one.put(replace(HOURLY, revision=made.revision, attempts=2))
    assert changed.last_id == first.id
    await one.run_to(NOON_S + 2 * HOUR_S + 60)
    shown = await one.find()
    assert shown is not None
    assert (shown.last_id, shown.skipped_at) == (first.id, "2026-06-15T14:00:00Z")
    await one.delete(changed.revision)
    (still,) = await one.started()
    assert (still.id, still.state) == (first.id, State.PENDING)


@scene
async def test_another_kind_of_work_has_no_outcome_of_the_one_before(one: Scene) -> None:
    verify = Schedule(name="own", cron="0 * * * *", do="verify")
    made = await one.put(verify)
    state = await read_state(one.context, "own")
    assert state is not None
    done = replace(state, outcome="good", paused=True, operation=OperationId("b-1"))
    put = Put(one.context.keys.schedule("own"), encode(done))
    await one.context.etcd.txn([], [put])
    same = await one.put(replace(verify, revision=made.revision, percent=5))
    assert same.last_outcome == "good"
    other = await one.put(replace(HOURLY, revision=same.revision))
    assert (other.last_outcome, other.last_id, other.paused) == ("", "", True)


@scene
async def test_there_is_a_most_of_them(one: Scene) -> None:
    keys = one.context.keys
    for number in range(MAX_DEFINED):
        made = DefinedSchedule(rule=ScheduleRule(cron="@daily"))
        put = Put(keys.schedule_rule(f"s{number}"), encode(made))
        await one.context.etcd.txn([], [put])
    with pytest.raises(Refused, match="at most"):
        await one.put()


@scene
async def test_a_deposed_leader_defines_nothing(one: Scene) -> None:
    made = await one.put()
    await one.lead()
    for call in (one.put(replace(HOURLY, name="two")), one.delete(made.revision)):
        with pytest.raises(Fenced):
            await call
    assert await one.find() == made


@scene
async def test_all_that_looks_at_schedules_knows_it(one: Scene) -> None:
    """Retention, metrics and protection; once it is deleted, its backups are of an unknown one."""
    rules = RetentionRules(keep_last=3, min_count=1)
    made = await one.put(replace(HOURLY, retention=rules))
    policy = await read_policy(one.context)
    assert policy.knows("own")
    assert policy.schedules["own"].keep_last == 3
    assert [each.name for each in (await read_cluster(one.context)).schedules] == ["hourly", "own"]
    promises = promises_of(await read_schedules(one.context))
    assert [each.name for each in promises] == ["hourly", "own"]
    triggered = await one.leader.trigger("own", "r1") if one.leader else None
    assert triggered is not None
    await one.delete(made.revision)
    assert not (await read_policy(one.context)).knows("own")
    with pytest.raises(CleancutError, match="no schedule"):
        await one.api.pause_schedule("own", paused=True)


def test_the_first_one_of_a_cluster_without_schedules_starts() -> None:
    """Nothing looks at schedules while there are none; what is due then has no caller."""

    async def body() -> None:
        one = Scene()

        async def ended() -> bool | None:
            return None if leader._looking else True

        async def begun() -> list[Operation] | None:
            return await one.started() or None

        one.context = dataclasses.replace(one.context, file_schedules={})
        leader = await one.take_over()
        one.clock.real = True
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            leader.begin(group)
            await wait_for(ended, "no look", 30.0, 0.01)
            made = await one.put()
            one.clock.now_s = NOON_S + HOUR_S + 1
            started = await wait_for(begun, "a start", 30.0, 0.01)
            await one.delete(made.revision)
        assert [each.asked_by for each in started] == [""]

    asyncio.run(body())
