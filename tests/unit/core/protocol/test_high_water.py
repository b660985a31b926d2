"""What the store knows of an attempt decides over what etcd says of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken
from cleancut.core.protocol.commands import Run
from cleancut.core.protocol.etcd_records import Bounds, Ctl, EpochMember, Failure, Vote
from cleancut.core.protocol.events import Cancelled, Done, Failed, TakenOver, Tick, Voted
from cleancut.core.protocol.high_water import (
    EtcdPosition,
    HighWaterMark,
    ReadMarks,
    StoreMarks,
    Takeover,
    gone_back,
    judge_takeover,
    why_behind,
)
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.restore.phases import Create, MarkPublished, PublishRestore, RollBack
from cleancut.core.restore.restore import RestoreMachine
from tests.unit.core.restore.world import AGENTS, A, World

EPOCH = Epoch(7)
MARK = HighWaterMark(epoch=EPOCH, cluster_id="ours", owner_number=1, etcd_id="e1", revision=100)
HERE = EtcdPosition(cluster_id="ours", etcd_id="e1", epoch=EPOCH, revision=100)
TOUCHING = (Create, RollBack, PublishRestore)
OPEN = [Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL, Phase.PUBLISH, Phase.ROLLBACK]


@pytest.mark.parametrize(
    ("etcd", "behind"),
    [
        (HERE, False),
        (EtcdPosition("ours", "e1", Epoch(9), 500), False),
        (EtcdPosition("ours", "e1", Epoch(6), 10**9), True),
        (EtcdPosition("ours", "e1", EPOCH, 99), True),
        (EtcdPosition("ours", "e2", EPOCH, 500), True),
        (EtcdPosition("another", "e2", Epoch(0), 3), False),
    ],
    ids=["same", "ahead", "older epoch", "lower revision", "other etcd", "another cluster's mark"],
)
def test_etcd_is_behind_if_it_cannot_have_written_the_mark(
    etcd: EtcdPosition, *, behind: bool
) -> None:
    """A bumped revision does not hide an older epoch; a lost etcd is a matter of the owner."""
    assert bool(why_behind(MARK, etcd)) is behind
    assert why_behind(None, etcd) == ""


@pytest.mark.parametrize("phase", OPEN)
@pytest.mark.parametrize(
    "marks",
    [
        StoreMarks(EPOCH, behind="its revision is 3"),
        StoreMarks(Epoch(EPOCH + 1)),
        StoreMarks(EPOCH, behind="x", published="r", ended=State.DONE),
    ],
)
def test_an_attempt_of_the_past_is_stopped(phase: Phase, marks: StoreMarks) -> None:
    ctl = Ctl(kind=OperationKind.RESTORE, phase=phase, epoch=EPOCH)
    assert judge_takeover(ctl, marks) is Takeover.STOP
    assert "etcd has gone back" in gone_back(ctl, marks).message


@pytest.mark.parametrize(
    ("phase", "published", "ended", "verdict"),
    [
        (Phase.CREATE, "", None, Takeover.GO_ON),
        (Phase.ROLLBACK, "", None, Takeover.GO_ON),
        (Phase.SEAL, "r", None, Takeover.PUBLISH),
        (Phase.PUBLISH, "r", None, Takeover.GO_ON),
        (Phase.CREATE, "r", None, Takeover.STOP),
        (Phase.VERIFY, "r", None, Takeover.STOP),
        (Phase.ROLLBACK, "r", None, Takeover.STOP),
        (Phase.PUBLISH, "r", State.DONE, Takeover.CLOSE),
        (Phase.ROLLBACK, "", State.ROLLED_BACK, Takeover.CLOSE),
        (Phase.COUNT, "", State.DONE, Takeover.GO_ON),
        (Phase.APPLY, "", State.DONE, Takeover.STOP),
        (Phase.SEAL, "r", State.DONE, Takeover.STOP),
        (Phase.RECOVER, "", State.ROLLED_BACK, Takeover.STOP),
        (Phase.ROLLBACK, "r", State.DONE, Takeover.STOP),
        (Phase.SEAL, "", State.PENDING, Takeover.GO_ON),
        (Phase.SEAL, "r", State.PENDING, Takeover.PUBLISH),
        (Phase.PUBLISH, "r", State.PENDING, Takeover.GO_ON),
        (Phase.ROLLBACK, "", State.PENDING, Takeover.GO_ON),
        (Phase.ROLLBACK, "r", State.PENDING, Takeover.STOP),
        (Phase.RECOVER, "", State.PENDING, Takeover.STOP),
        (Phase.PREPARE, "", State.PENDING, Takeover.STOP),
    ],
)
def test_what_was_published_or_ended_is_neither_undone_nor_done_again(
    phase: Phase, published: str, ended: State | None, verdict: Takeover
) -> None:
    marks = StoreMarks(EPOCH, published=published, ended=ended)
    assert judge_takeover(Ctl(phase=phase, epoch=EPOCH), marks) is verdict


@pytest.mark.parametrize("kind", [OperationKind.RESTORE, OperationKind.REBALANCE])
def test_what_has_changed_the_cluster_is_not_shown_as_aborted_before_anything(
    kind: OperationKind,
) -> None:
    ctl = Ctl(kind=kind, phase=Phase.PREPARE, epoch=EPOCH)
    assert judge_takeover(ctl, StoreMarks(EPOCH)) is Takeover.GO_ON
    begun = StoreMarks(EPOCH, begun=True)
    assert judge_takeover(ctl, begun) is Takeover.STOP
    assert "has changed the cluster" in gone_back(ctl, begun).message


def _taken_over(phase: Phase, votes: dict[tuple[str, AgentName], Vote]) -> RestoreMachine:
    ctl = Ctl(kind=OperationKind.RESTORE, phase=phase, epoch=EPOCH, draft="d")
    members = {name: EpochMember(session=FencingToken(1)) for name in AGENTS}
    machine = RestoreMachine(Bounds())
    commands = machine.step(TakenOver(ctl, World().operation, members, votes), 0.0)
    assert commands == [Run(ReadMarks(EPOCH))]
    return machine


@pytest.mark.parametrize("phase", OPEN)
def test_a_restore_of_the_past_touches_nothing(phase: Phase) -> None:
    """Whatever votes, bounds and requests come before the store has answered, and after it."""
    no = Vote(session=FencingToken(1), yes=False, failure=Failure(reason="REFUSED", message="no"))
    machine = _taken_over(phase, {(phase.value, A): no})
    commands = machine.step(Voted(A, EPOCH, phase.value, no), 1.0)
    commands += machine.step(Tick(), 1e9)
    commands += machine.step(Cancelled(), 1e9)
    commands += machine.step(
        Failed(ReadMarks(EPOCH), Failure(reason="UNAVAILABLE", message="away")), 1e9
    )
    assert machine.step(Tick(), 2e9) == [Run(ReadMarks(EPOCH))]
    commands += machine.step(Done(ReadMarks(EPOCH), StoreMarks(Epoch(EPOCH + 1))), 2e9)
    assert not [c for c in commands if isinstance(c, Run) and isinstance(c.effect, TOUCHING)]
    assert machine.operation is not None
    assert machine.operation.state is State.NEEDS_OPERATOR
    assert machine.idle


def test_a_cancel_is_kept_until_the_store_has_answered() -> None:
    machine = _taken_over(Phase.RECOVER, {})
    assert machine.step(Cancelled(), 1.0) == []
    machine.step(Done(ReadMarks(EPOCH), StoreMarks(EPOCH)), 2.0)
    assert machine.ctl.phase is Phase.ROLLBACK


def test_a_no_that_came_before_the_store_answered_counts() -> None:
    no = Vote(session=FencingToken(1), yes=False, failure=Failure(reason="CORRUPT", message="no"))
    machine = _taken_over(Phase.RECOVER, {(Phase.RECOVER.value, A): no})
    machine.step(Done(ReadMarks(EPOCH), StoreMarks(EPOCH)), 2.0)
    assert machine.ctl.phase is Phase.ROLLBACK


@pytest.mark.parametrize(
    ("phase", "ended", "state"),
    [
        (Phase.PUBLISH, State.DONE, State.DONE),
        (Phase.ROLLBACK, State.ROLLED_BACK, State.ROLLED_BACK),
    ],
)
def test_a_crash_after_the_last_effect_only_records_the_end(
    phase: Phase, ended: State, state: State
) -> None:
    machine = _taken_over(phase, {})
    published = "r" if ended is State.DONE else ""
    marks = StoreMarks(EPOCH, published=published, ended=ended)
    commands = machine.step(Done(ReadMarks(EPOCH), marks), 1.0)
    assert not [command for command in commands if isinstance(command, Run)]
    assert machine.operation is not None
    assert machine.operation.state is state


def test_once_it_may_be_marked_it_is_published_or_needs_an_operator() -> None:
    """The answer to the mark may be lost: from its request on nothing is undone."""
    machine = _taken_over(Phase.SEAL, {})
    machine.waiting = MarkPublished(EPOCH, "d", "r")
    assert machine.step(Cancelled(), 1.0) == []
    assert machine.step(Tick(), 1e9) == []
    away = Failure(reason="UNAVAILABLE", message="away")
    commands = machine.step(Failed(MarkPublished(EPOCH, "d", "r"), away), 1e9)
    assert not [command for command in commands if isinstance(command, Run)]
    assert machine.operation is not None
    assert machine.operation.state is State.NEEDS_OPERATOR


def test_a_successor_publishes_the_report_that_was_marked() -> None:
    machine = _taken_over(Phase.SEAL, {})
    commands = machine.step(Done(ReadMarks(EPOCH), StoreMarks(EPOCH, published="r2")), 1.0)
    assert commands[-1] == Run(PublishRestore(EPOCH, "d"))
    assert machine.operation is not None
    assert machine.operation == replace(machine.operation, detail="r2")
