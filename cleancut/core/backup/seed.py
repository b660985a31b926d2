"""Coordinator's machine of a seed: it stores shards ahead of a backup, a few at a time.

A barrier without a cut: nothing is drained, nothing is proven, and no group is made. Only the
agents know what was stored, as after an aborted epoch.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.phases import SEED_STATE_OF, SEED_TRANSITIONS, Assigned
from cleancut.core.protocol import votes as protocol_votes
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.etcd_records import Seeded, Vote
from cleancut.core.protocol.events import Started
from cleancut.core.protocol.requests import SeedRequest, Selection
from cleancut.core.protocol.states import OperationKind, Phase


class SeedMachine(Barrier):
    """From PREPARE to UPLOAD, where every agent reads at its own pace, to the end."""

    kind, transitions, state_of = OperationKind.SEED, SEED_TRANSITIONS, SEED_STATE_OF

    def request(self) -> SeedRequest:
        return protocol_votes.seed_request(self.operation)

    def selection(self) -> Selection:
        return Selection(collections=self.request().collections)

    def open(self, event: Started, **fresh: Any) -> list[Command]:
        commands = super().open(event, **fresh)
        if self.opening is not None:
            self.opening = replace(self.opening, streams=self.request().streams)
        return commands

    def start_clocks(self, now_s: float) -> None:
        """A seed may take days; only a stall ends it."""
        super().start_clocks(now_s)
        if self.ctl.phase is Phase.UPLOAD:
            self.deadline_s = now_s + self.ctl.bounds.seed_s

    def _ready(self, draft: Assigned, now_s: float) -> list[Command]:
        return self.move(Phase.UPLOAD, now_s, **self._agreed_facts())

    def _uploaded(self, now_s: float) -> list[Command]:
        votes = protocol_votes.yes_of_all(Phase.UPLOAD, self.members, self.votes)
        if votes is None or self.operation is None or self.waiting is not None:
            return []
        self.operation = replace(self.operation, seeded=_sum_of(votes))
        return self.move(Phase.IDLE, now_s)


def _sum_of(votes: list[Vote]) -> Seeded:
    given = [vote.seeded or Seeded() for vote in votes]
    return Seeded(
        shards=sum(one.shards for one in given),
        read_bytes=sum(one.read_bytes for one in given),
        new_bytes=sum(one.new_bytes for one in given),
        stored_bytes=sum(one.stored_bytes for one in given),
    )
