"""Coordinator's machine of an import: no agent, nothing written before its decision."""

from __future__ import annotations

import pytest

from cleancut.core.backup.importing import Enter, ImportMachine
from cleancut.core.backup.phases import Publish
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.commands import Decide, Persist, Run
from cleancut.core.protocol.etcd_records import Bounds, Ctl, Failure, Operation
from cleancut.core.protocol.events import Cancelled, Done, Failed, Started, TakenOver
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.requests import ImportRequest
from cleancut.core.protocol.states import OperationKind, Phase, State

EPOCH = Epoch(7)
REQUEST = ImportRequest(import_id="ab" * 8, draft="cd" * 32, collection="docs", attempts=2)
OPERATION = Operation(
    id=OperationId("i-1"),
    kind=OperationKind.IMPORT,
    state=State.PENDING,
    request=encode(REQUEST).decode(),
)
ENTER = Enter(EPOCH, OPERATION.id, REQUEST)


def begun(operation: Operation = OPERATION) -> ImportMachine:
    machine = ImportMachine(Bounds())
    commands = machine.step(Started(operation, EPOCH, "nonce", {}), 0.0)
    assert commands == [Run(ENTER)]
    assert not machine.idle
    return machine


def test_it_is_decided_once_its_manifest_is_staged_and_over_once_it_is_published() -> None:
    machine = begun()
    decide, publish = machine.step(Done(ENTER, "sha"), 1.0)
    assert isinstance(decide, Decide)
    ctl = decide.ctl
    assert (ctl.kind, ctl.phase, ctl.epoch) == (OperationKind.IMPORT, Phase.COMMIT, EPOCH)
    assert (ctl.manifest, decide.voters, publish) == ("sha", (), Run(Publish(EPOCH, "sha")))
    assert machine.step(Cancelled(), 1.5) == []
    (end,) = machine.step(Done(Publish(EPOCH, "sha")), 2.0)
    assert isinstance(end, Persist)
    assert end.ctl is not None
    assert end.operation is not None
    assert (end.ctl.phase, end.operation.state) == (Phase.IDLE, State.COMMITTED)
    assert machine.idle


def test_the_next_leader_publishes_what_was_decided() -> None:
    ctl = Ctl(kind=OperationKind.IMPORT, phase=Phase.COMMIT, epoch=EPOCH, manifest="sha")
    machine = ImportMachine(Bounds())
    assert machine.step(TakenOver(ctl, OPERATION, {}, {}), 0.0) == [Run(ReadMarks(EPOCH))]
    commands = machine.step(Done(ReadMarks(EPOCH), StoreMarks(EPOCH)), 1.0)
    assert commands == [Run(Publish(EPOCH, "sha"))]


@pytest.mark.parametrize(
    ("reason", "attempts", "state"),
    [
        ("UNAVAILABLE", 0, State.PENDING),
        ("UNAVAILABLE", 1, State.ABORTED),
        ("REFUSED", 0, State.ABORTED),
    ],
)
def test_what_cannot_be_entered_is_tried_again_or_aborted(
    reason: str, attempts: int, state: State
) -> None:
    """`ctl` is as it was: nothing of the attempt is in etcd."""
    operation = Operation(
        id=OPERATION.id,
        kind=OPERATION.kind,
        state=State.PENDING,
        request=OPERATION.request,
        attempts=attempts,
    )
    machine = begun(operation)
    (persist,) = machine.step(Failed(ENTER, Failure(reason=reason, message="no")), 1.0)
    assert isinstance(persist, Persist)
    assert persist.ctl is None
    assert persist.operation is not None
    assert persist.operation.state is state
    assert machine.idle


def test_a_cancel_ends_it_before_its_decision() -> None:
    machine = begun()
    (persist,) = machine.step(Cancelled(), 1.0)
    assert isinstance(persist, Persist)
    assert persist.operation is not None
    assert persist.operation.state is State.ABORTED
    assert machine.step(Done(ENTER, "sha"), 2.0) == []
