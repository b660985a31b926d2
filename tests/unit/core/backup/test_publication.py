"""Publication of a decided backup: done, or given up without holding others up."""

from __future__ import annotations

import pytest

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.phases import PUBLISH_S, Publish
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Persist, Run
from cleancut.core.protocol.etcd_records import Bounds, Failure
from cleancut.core.protocol.events import Cancelled, Done, Failed, TakenOver, Tick
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.states import Phase, State
from tests.unit.core.backup.table import EPOCH
from tests.unit.core.backup.test_barrier import BROKEN, barrier_in


@pytest.mark.parametrize("phase", [Phase.UPLOAD, Phase.COMMIT])
def test_an_epoch_that_is_long_over_is_neither_decided_nor_published(phase: Phase) -> None:
    """etcd went back to it: its blocks may be gone. Its end needs an operator."""
    _, table = barrier_in(phase)
    barrier = Barrier(Bounds())
    barrier.step(TakenOver(table.ctl, table.operation, table.members, table.votes), 1.0)
    newer = StoreMarks(Epoch(EPOCH + 1))
    commands = barrier.step(Done(ReadMarks(EPOCH), newer), 1.0)
    assert not [command for command in commands if isinstance(command, Run)]
    assert barrier.operation is not None
    assert barrier.operation.state is State.NEEDS_OPERATOR
    assert barrier.idle


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.CUT, Phase.SEAL, Phase.UPLOAD])
def test_a_cancel_while_it_is_taken_over_waits_for_what_the_store_knows(phase: Phase) -> None:
    """etcd went back to before the backup was published: it is not shown as cancelled."""
    for committed in (True, False):
        _, table = barrier_in(phase)
        barrier = Barrier(Bounds())
        barrier.step(TakenOver(table.ctl, table.operation, table.members, table.votes), 1.0)
        assert barrier.step(Cancelled(), 1.0) == []
        assert barrier.step(Tick(), 1e6) == []
        marks = StoreMarks(EPOCH, ended=State.COMMITTED if committed else None)
        barrier.step(Done(ReadMarks(EPOCH), marks), 1e6)
        assert barrier.operation is not None
        ended = State.NEEDS_OPERATOR if committed else State.ABORTED
        assert barrier.operation.state is ended
        assert barrier.operation.failure is not None
        assert (barrier.operation.failure.reason == "CANCELLED") is not committed


def test_marks_that_cannot_be_read_are_asked_for_again() -> None:
    """Nothing is published before the store has said what it knows."""
    _, table = barrier_in(Phase.COMMIT)
    barrier = Barrier(Bounds())
    barrier.step(TakenOver(table.ctl, table.operation, table.members, table.votes), 1.0)
    assert barrier.step(Failed(ReadMarks(EPOCH), BROKEN), 2.0) == []
    assert barrier.step(Tick(), 3.0) == [Run(ReadMarks(EPOCH))]


@pytest.mark.parametrize("reason", ["REFUSED", "NOT_FOUND", "CORRUPT"])
def test_a_publication_that_cannot_succeed_frees_ctl(reason: str) -> None:
    """Other bytes are there, or the staged manifest is gone: after a bound a person is needed, and
    other operations have their turn."""
    barrier, table = barrier_in(Phase.COMMIT)
    publish, failure = Publish(EPOCH, table.group), Failure(reason=reason, message="no")
    began_s = barrier.phase_began_s
    first = barrier.step(Failed(publish, failure), began_s + 1)
    assert [type(command) for command in first] == [Persist]
    assert barrier.operation is not None
    assert barrier.operation.state is State.COMMITTING
    assert barrier.operation.failure == failure
    barrier.step(Tick(), began_s + 2)
    assert barrier.step(Failed(publish, failure), began_s + 3) == []
    barrier.step(Tick(), began_s + PUBLISH_S)
    barrier.step(Failed(publish, failure), began_s + PUBLISH_S)
    assert barrier.operation.state is State.NEEDS_OPERATOR
    assert barrier.idle


def test_a_failing_publication_can_be_given_up() -> None:
    """A cancel frees ctl, whatever the store says."""
    barrier, table = barrier_in(Phase.COMMIT)
    barrier.step(Failed(Publish(EPOCH, table.group), BROKEN), 1.0)
    barrier.step(Cancelled(), 2.0)
    assert barrier.operation is not None
    assert barrier.operation.state is State.NEEDS_OPERATOR
    assert barrier.idle


def test_a_takeover_before_upload_ends_without_the_store() -> None:
    """Nothing would follow from what the store knows but the words of its end."""
    _, table = barrier_in(Phase.CUT)
    barrier = Barrier(Bounds())
    barrier.step(TakenOver(table.ctl, table.operation, table.members, table.votes), 1.0)
    barrier.step(Failed(ReadMarks(EPOCH), Failure("UNAVAILABLE", "no store", "")), 1.0)
    assert barrier.ctl.phase is Phase.ABORT
