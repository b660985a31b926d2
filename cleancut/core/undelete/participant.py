"""Agent's machine of an undelete: it puts back the points of the shards that it is given.

No I/O, no clock.
"""

from __future__ import annotations

from typing import Any

from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.effect_requests import Observe, Observed
from cleancut.core.protocol.etcd_records import EpochMember, Vote
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.states import Phase
from cleancut.core.undelete.phases import PutBack, Settle

UndeleteParticipantEffect = Observe | PutBack | Settle


class UndeleteParticipant(Participant):
    """One machine per session."""

    open_phases = frozenset({Phase.PREPARE, Phase.APPLY, Phase.COUNT})

    @property
    def observes_again(self) -> bool:
        return self.cast is not None and self.cast.yes

    def phase_began(self, member: EpochMember) -> list[Command]:
        self.cast = None
        if self.ctl.phase is Phase.PREPARE:
            return [self.observe()] if member.session == self.session else []
        if not member.tasks:
            return []
        match self.ctl.phase:
            case Phase.APPLY:
                return [self.run(PutBack(self.ctl.epoch, self.ctl.draft, member.tasks))]
            case Phase.COUNT:
                return [self.run(Settle(self.ctl.epoch))]
            case _:
                return []

    def observed(self, seen: Observed, vote: Vote) -> list[Command]:
        return self.vote(vote)

    def completed(self, effect: Effect, result: Any) -> list[Command]:
        match effect:
            case PutBack() | Settle():
                return self.vote(self.ballot())
            case _:
                raise AssertionError(f"unexpected effect: {effect}")
