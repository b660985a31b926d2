"""Timelines: lanes and bands of attempts, made from traces that machines have left."""

from __future__ import annotations

import dataclasses

from cleancut.core.format.story import Story, StoryKind, parse_story_name
from cleancut.core.format.timeline import (
    COORDINATOR,
    Band,
    Timeline,
    phases_of,
    timeline,
    timeline_of,
)
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.events import Started, TakenOver
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.protocol.trace import (
    CUT,
    DRAINED,
    MAX_TRACES,
    WITH_WORK,
    AgentWork,
    Mark,
    Step,
    Trace,
    Traces,
    with_begun,
    with_end,
    with_mark,
)
from tests.unit.core.backup.table import COORDINATOR as LEADER
from tests.unit.core.backup.table import Table

A1, A2 = AgentName("a1"), AgentName("a2")
BEGAN_S = 1_700_000_000.0


def played(until: Phase) -> Table:
    """A table whose leader knows the time, in the first position in which it is in `until`."""
    table = Table((A1, A2))
    table.start()
    (started,) = table.queues[LEADER]
    assert isinstance(started, Started)
    table.queues[LEADER] = [dataclasses.replace(started, wall_s=BEGAN_S)]
    for turn in range(200):
        if table.ctl.phase is until:
            return table
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    raise AssertionError(f"never came to {until}")


def traces(table: Table) -> Traces:
    assert table.operation is not None
    return table.operation.traces


def test_a_backup_leaves_its_phases_its_drains_and_the_work_of_its_agents() -> None:
    (trace,) = traces(played(Phase.UPLOAD))
    assert [step.phase for step in trace.steps] == ["PREPARE", "CUT", "SEAL", "UPLOAD"]
    assert [mark.what for mark in trace.marks] == [DRAINED, CUT, DRAINED]
    assert {(work.agent, work.phase) for work in trace.work} == {
        (agent, phase) for agent in (A1, A2) for phase in ("PREPARE", "CUT", "SEAL")
    }
    assert trace.ended_ms == -1


def test_an_attempt_that_fails_says_when_and_why() -> None:
    table = played(Phase.CUT)
    machine = table.barrier
    assert table.operation is not None
    taken = TakenOver(
        table.ctl, table.operation, dict(table.members), {}, None, wall_s=BEGAN_S + 90.0
    )
    machine.step(taken, 5000.0)
    assert machine.at_ms == 90_000
    machine.votes = {}
    machine.close(table.operation.state, None)
    assert machine.operation is not None
    assert machine.operation.traces[-1].ended_ms == 90_000


def test_the_lanes_of_agents_begin_with_the_phases_of_the_coordinator() -> None:
    first = Trace(
        epoch=Epoch(4),
        began_at="2026-01-01T00:00:00.000Z",
        steps=(Step(phase="PREPARE", at_ms=100), Step(phase="CUT", at_ms=300)),
        work=(AgentWork(agent=A1, phase="PREPARE", ms=50, yes=False),),
        ended_ms=1000,
        reason="UNAVAILABLE",
        message="agent a1: gone",
    )
    second = Trace(
        epoch=Epoch(5),
        began_at="2026-01-01T00:00:10.000Z",
        steps=(Step(phase="PREPARE", at_ms=0), Step(phase="CUT", at_ms=200)),
        marks=(Mark(what=DRAINED, at_ms=190),),
        work=(
            AgentWork(agent=A1, phase="CUT", ms=70),
            AgentWork(agent=A2, phase="CUT", ms=90),
        ),
        ended_ms=500,
    )
    shown = timeline((first, second))
    assert shown.total_ms == 10_500
    failed, done = shown.attempts
    assert failed.lanes[0].bands == (
        Band(phase="PREPARE", start_ms=100, end_ms=300),
        Band(phase="CUT", start_ms=300, end_ms=1000, ok=False),
    )
    assert failed.lanes[1].bands == (Band(phase="PREPARE", start_ms=100, end_ms=150, ok=False),)
    assert (failed.reason, failed.message) == ("UNAVAILABLE", "agent a1: gone")
    assert [lane.name for lane in done.lanes] == [COORDINATOR, A1, A2]
    assert done.start_ms == 10_000
    assert done.lanes[2].bands == (Band(phase="CUT", start_ms=10_200, end_ms=10_290),)
    assert [mark.at_ms for mark in done.lanes[2].marks] == [10_290]
    assert [mark.at_ms for mark in done.lanes[0].marks] == [10_190]


def test_an_attempt_under_way_is_drawn_up_to_now() -> None:
    table = played(Phase.CUT)
    assert table.operation is not None
    (attempt,) = timeline_of(table.operation, BEGAN_S + 2000.0).attempts
    assert attempt.running
    assert attempt.end_ms == 2_000_000
    assert attempt.lanes[0].bands[-1].end_ms == 2_000_000


def test_an_attempt_that_ended_before_its_first_phase_has_a_reason_and_no_bands() -> None:
    """So a backup that no agent could begin is shown."""
    failure = Failure(reason="DENIED", message="the key is refused")
    trace = with_end(Trace(epoch=Epoch(1), began_at=format_time(BEGAN_S)), failure, 7)
    (attempt,) = timeline((trace,)).attempts
    assert phases_of(trace) == ()
    assert (attempt.reason, attempt.duration_ms, attempt.lanes[0].bands) == ("DENIED", 7, ())


def test_what_an_older_version_wrote_has_an_empty_timeline() -> None:
    old = Operation(
        id=OperationId("b-1"), kind=OperationKind.BACKUP, state=State.ABORTED, request="{}"
    )
    assert timeline_of(old) == Timeline()


def test_only_the_newest_attempts_are_kept_and_agents_work_of_fewer() -> None:
    found: Traces = ()
    work = (AgentWork(agent=A1, phase="CUT", ms=1),)
    for number in range(MAX_TRACES + 5):
        found = with_begun(found, Epoch(number), BEGAN_S + number)
        found = (*found[:-1], Trace(epoch=Epoch(number), began_at=found[-1].began_at, work=work))
    assert [trace.epoch for trace in found] == list(range(5, MAX_TRACES + 5))
    assert sum(bool(trace.work) for trace in found) == WITH_WORK


def test_a_fence_is_lifted_once() -> None:
    trace = Trace(epoch=Epoch(1), began_at="")
    for at_ms in (1, 2):
        trace = with_mark(trace, "fence lifted", at_ms)
    assert [mark.at_ms for mark in trace.marks] == [1]


def test_names_of_stories_sort_by_time_and_are_read_back() -> None:
    story = Story(
        kind=StoryKind.RESTORE,
        id="r-0123-1",
        at="2026-03-04T05:06:07.089Z",
        ended_at="",
        state="DONE",
    )
    assert story.name == "20260304T050607.089Z-restore-r-0123-1"
    name = parse_story_name(story.name)
    assert name is not None
    assert (name.at, name.kind, name.id) == (story.at, "restore", story.id)
    assert name.position == story.position
    assert parse_story_name("20260304T050607Z-restore-r") is None
