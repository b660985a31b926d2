"""Agents that are away are waited for: they cost no attempt, and no wait is without a bound."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.backup.assignment import Usable, only_agents_missing
from cleancut.core.backup.patience import (
    MAX_EXCUSED,
    Attendance,
    Verdict,
    described,
    excused,
    given_up,
    look,
)
from cleancut.core.maintenance.schedule import ScheduleRule, request_of
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, OperationId, PeerId
from cleancut.core.protocol.etcd_records import Awaited, Away, Failure, Operation
from cleancut.core.protocol.events import SessionMoved
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.protocol.votes import NO_AGENT, SESSION_LOST
from tests.support.groups import view
from tests.unit.core.backup.test_assignment import sessions
from tests.unit.core.backup.test_barrier import A1, barrier_in, check

ONE, TWO, THREE = PeerId(1), PeerId(2), PeerId(3)
NOON_S = 1_800_000_000.0
ASKED = BackupRequest(wait_s=600.0)
OPERATION = Operation(
    id=OperationId("b-1"),
    kind=OperationKind.BACKUP,
    state=State.PENDING,
    request=encode(ASKED).decode(),
    attempts=1,
)
UNHELD = Failure(reason="REFUSED", message="no agent can cut shard 0", away=Away.NEVER_CAME)
SEEN = Attendance((ONE, TWO), (THREE,), NOON_S)
GONE = {THREE: AgentName("qdrant-2")}


def waiting(failure: Failure, attendance: Attendance = SEEN) -> Awaited:
    found = excused(OPERATION, ASKED, failure, attendance)
    assert found is not None
    assert (found.excused, found.counted) == (1, 0)
    assert found.awaited is not None
    return found.awaited


def test_an_agent_that_was_never_there_is_not_waited_for() -> None:
    """The first attempt is refused, as is a single one; and one that ended on something else."""
    everyone = Attendance(SEEN.present, (), NOON_S)
    assert excused(OPERATION, ASKED, UNHELD, everyone) is None
    assert excused(OPERATION, ASKED, NO_AGENT, everyone) is None
    assert excused(OPERATION, replace(ASKED, attempts=1), SESSION_LOST, SEEN) is None
    assert excused(OPERATION, ASKED, replace(UNHELD, away=None), SEEN) is None
    assert excused(OPERATION, ASKED, SESSION_LOST, None) is None
    assert excused(replace(OPERATION, excused=MAX_EXCUSED), ASKED, SESSION_LOST, SEEN) is None


def test_a_wait_ends_once_all_are_back() -> None:
    """Or when its bound is over."""
    awaited = waiting(UNHELD)
    assert look(awaited, {ONE, TWO}, GONE, NOON_S) is Verdict.WAIT
    assert look(awaited, {ONE, TWO, THREE}, {}, NOON_S + 1) is Verdict.BEGIN
    assert look(awaited, {ONE, TWO}, GONE, NOON_S + 599) is Verdict.WAIT
    assert look(awaited, {ONE, TWO}, GONE, NOON_S + 601) is Verdict.GIVE_UP


def test_a_lost_agent_is_enough_while_another_stays_away() -> None:
    """Three was away before, and its shards are elsewhere: what the attempt had is needed."""
    awaited = waiting(SESSION_LOST)
    both = {TWO: AgentName("qdrant-1"), **GONE}
    assert look(awaited, {ONE}, both, NOON_S) is Verdict.WAIT
    assert look(awaited, {ONE, TWO}, GONE, NOON_S) is Verdict.BEGIN


def test_a_missing_agent_is_enough_while_another_stays_away() -> None:
    awaited = waiting(UNHELD, Attendance((ONE,), (TWO, THREE), NOON_S))
    assert look(awaited, {ONE, THREE}, {TWO: AgentName("qdrant-1")}, NOON_S) is Verdict.BEGIN


def test_the_bound_is_of_all_waits_together() -> None:
    """A cluster that never gets whole cannot hold an operation for ever."""
    first = excused(OPERATION, ASKED, UNHELD, SEEN)
    assert first is not None
    later = excused(first, ASKED, SESSION_LOST, Attendance((ONE, TWO), (), NOON_S + 500))
    assert later is not None
    assert first.awaited is not None
    assert later.awaited is not None
    assert (later.awaited.since, later.awaited.until) == (first.awaited.since, first.awaited.until)
    assert later.awaited.lost


def test_people_read_which_agents_are_waited_for() -> None:
    awaited = waiting(UNHELD)
    assert "qdrant-2 (peer 3)" in described(awaited, GONE)
    assert f"{awaited.until[:19]}Z at most" in described(awaited, GONE)
    failure = given_up(replace(OPERATION, failure=UNHELD, awaited=awaited), GONE)
    assert failure.reason == "REFUSED"
    assert failure.message.startswith("no agent can cut shard 0; waited since")
    assert "qdrant-2 (peer 3)" in failure.message


@pytest.mark.parametrize(
    ("cron", "wait_s"), [("*/10 * * * *", 300), ("@hourly", 1800), ("@weekly", 21600)]
)
def test_a_schedule_waits_for_half_its_interval(cron: str, wait_s: float) -> None:
    assert request_of("one", ScheduleRule(cron=cron)).wait_s == wait_s


def test_a_lost_session_makes_the_machine_wait_without_counting() -> None:
    """Also in what would have been the last attempt."""
    barrier, _ = barrier_in(Phase.PREPARE)
    assert barrier.operation is not None
    barrier.operation = replace(barrier.operation, attempts=2)
    check(barrier, SessionMoved(A1, None), State.PENDING, aborted=True)
    assert barrier.operation.counted == 1
    assert barrier.operation.awaited is not None


def test_what_agents_alone_would_mend_is_told_from_the_rest() -> None:
    """A shard at a peer without an agent; not one that is not Active at a peer with one."""
    usable = Usable(sessions(1, 2))
    away = view("docs", {0: {1: "Active"}, 1: {3: "Active"}})
    dead = view("docs", {0: {1: "Dead"}, 1: {3: "Active"}})
    assert only_agents_missing(away, ["docs"], usable)
    assert not only_agents_missing(dead, ["docs"], usable)
    assert not only_agents_missing(away, ["nothing"], usable)
