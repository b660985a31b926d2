"""Coordinator's machine of an import: what a command has stored becomes a backup of the next epoch.

A barrier without agents, which begins at its decision: all data is in the store before the
operation is asked for, so there is nothing to cut or to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.phases import Publish
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.commands import Command, Decide
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.events import Done, Started
from cleancut.core.protocol.requests import ImportRequest
from cleancut.core.protocol.states import OperationKind, Phase, State

IMPORT_TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.COMMIT): "all that the import has stored is there, the backup is decided",
    (Phase.ABORT, Phase.COMMIT): "all that the import has stored is there, the backup is decided",
    (Phase.COMMIT, Phase.IDLE): "the manifest is published",
    (Phase.COMMIT, Phase.ABORT): "its manifest cannot be published: an operator is needed",
}
"""Every change of phase of an import, with its cause."""
IMPORT_STATE_OF = {Phase.COMMIT: State.COMMITTING, Phase.IDLE: State.COMMITTED}


@dataclass(frozen=True, slots=True)
class Enter:
    """Check that all of an import is in the store, and stage its manifest. Result: its sha256.
    Order: repeatable, before `ctl` names the epoch."""

    epoch: Epoch
    operation: OperationId
    request: ImportRequest


class ImportMachine(Barrier):
    """From the turn to the decision to the publication."""

    kind, transitions, state_of = OperationKind.IMPORT, IMPORT_TRANSITIONS, IMPORT_STATE_OF

    def request(self) -> Any:
        assert self.operation is not None, "no attempt without an operation"
        return decode(ImportRequest, self.operation.request.encode(), "the operation's request")

    def open(self, event: Started, **fresh: Any) -> list[Command]:
        """Nothing is written before the decision, so the next leader begins again."""
        self.begin(event, **fresh)
        self.opening = Ctl(
            kind=self.kind,
            phase=Phase.COMMIT,
            epoch=event.epoch,
            operation=event.operation.id,
            attempt=self.attempt,
            bounds=self.bounds,
        )
        return [self.run(Enter(event.epoch, event.operation.id, self.request()))]

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if not isinstance(event.effect, Enter):
            return super()._done(event, now_s)
        assert self.opening is not None, "an answer to no effect"
        self.waiting = None
        assert (self.ctl.phase, Phase.COMMIT) in self.transitions
        self.ctl, self.opening = replace(self.opening, manifest=event.result), None
        self.noted(Phase.COMMIT, None)
        self.start_clocks(now_s)
        publish = Publish(self.ctl.epoch, event.result)
        return [Decide(self.ctl, Phase.COMMIT.value, ()), self.run(publish)]
