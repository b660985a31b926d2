"""Agent's machine of a reshard: agree on the view, count replicas by the rings, clean old ones.

What is counted and cleaned is in Qdrant, so a restarted agent does it again. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.effect_requests import Observe, Observed
from cleancut.core.protocol.etcd_records import EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.states import Phase


@dataclass(frozen=True, slots=True)
class CountByRings:
    """Count every replica of `tasks` by the old and the new ring. Result: the sha256 of the stored
    document. `round` separates the answer from that of an earlier round."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    round: str


@dataclass(frozen=True, slots=True)
class CleanReplicas:
    """Delete what lies elsewhere by the new ring from every replica of `tasks`, and count what is
    left. Result: as of `CountByRings`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    round: str


ReshardParticipantEffect = Observe | CountByRings | CleanReplicas


class ReshardParticipant(Participant):
    """One machine per session."""

    open_phases = frozenset({Phase.PREPARE, Phase.MOVE, Phase.COUNT, Phase.COMMIT, Phase.CLEAN})

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
            case Phase.COUNT:
                return [self.run(CountByRings(self.ctl.epoch, member.tasks, self.ctl.cut_at))]
            case Phase.CLEAN:
                return [self.run(CleanReplicas(self.ctl.epoch, member.tasks, self.ctl.cut_at))]
            case _:
                return []

    def observed(self, seen: Observed, vote: Vote) -> list[Command]:
        return self.vote(vote)

    def completed(self, effect: Effect, result: Any) -> list[Command]:
        match effect:
            case CountByRings() | CleanReplicas():
                return self.vote(replace(self.ballot(), document=result))
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def ballot(self, failure: Failure | None = None) -> Vote:
        """A vote names its round: those of an earlier round are void."""
        return replace(super().ballot(failure), ready=self.ctl.cut_at)
