"""Agent's machine of a restore: agree on the view, recover shards, count them, read again.

Recovered shards are in Qdrant and outlive the session, so a restarted agent goes on where its
previous process voted. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.states import Phase


@dataclass(frozen=True, slots=True)
class HasRecovered:
    """Look up whether this agent reported, before a restart, that all its shards are recovered."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Recover:
    """Serve the tars of these tasks and have the local peer pull them. `empty`: refuse if a shard
    holds points before (after a restart they may be the previous process's)."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    empty: bool


@dataclass(frozen=True, slots=True)
class Verify:
    """Read the numbers, then count and search every shard. Result: `Verified`.

    `round` separates the answer from that of an earlier round, which a new leader has made void.
    """

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    round: str


@dataclass(frozen=True, slots=True)
class Verified:
    """`document`: sha256 of the stored document with the results."""

    readings: Readings
    document: str


RestoreParticipantEffect = Observe | HasRecovered | Recover | Verify | ReadNumbers


class RestoreParticipant(Participant):
    """One machine per session."""

    open_phases = frozenset(
        {
            Phase.PREPARE,
            Phase.CREATE,
            Phase.RECOVER,
            Phase.COUNT,
            Phase.VERIFY,
            Phase.SEAL,
            Phase.STANDSTILL,
            Phase.PUBLISH,
        }
    )

    def forget(self) -> None:
        super().forget()
        self._tasks: tuple[ShardTask, ...] = ()

    @property
    def observes_again(self) -> bool:
        return self.cast is not None and self.cast.yes

    def phase_began(self, member: EpochMember) -> list[Command]:
        self.cast = None
        self._tasks, epoch = member.tasks, self.ctl.epoch
        if self.ctl.phase is Phase.PREPARE:
            return [self.observe()] if member.session == self.session else []
        read_again = self.ctl.phase is Phase.PUBLISH and self.ctl.round > 0
        if read_again or self.ctl.phase is Phase.STANDSTILL:
            return [self.run(ReadNumbers(epoch, member.old))] if member.old else []
        if not self._tasks:
            return []
        match self.ctl.phase:
            case Phase.RECOVER if member.session == self.session:
                return [self.run(Recover(epoch, self._tasks, empty=True))]
            case Phase.RECOVER:
                return [self.run(HasRecovered(epoch))]
            case Phase.COUNT | Phase.VERIFY:
                return [self.run(Verify(epoch, self._tasks, self.ctl.cut_at))]
            case Phase.SEAL:
                return [self.run(ReadNumbers(epoch, self._tasks))]
            case _:
                return []

    def observed(self, seen: Observed, vote: Vote) -> list[Command]:
        return self.vote(vote)

    def completed(self, effect: Effect, result: Any) -> list[Command]:
        match effect:
            case HasRecovered():
                again = Recover(self.ctl.epoch, self._tasks, empty=False)
                return [] if result else [self.run(again)]
            case Recover():
                return self.vote(self.ballot())
            case Verify():
                found: Verified = result
                return self.vote(replace(self.read(found.readings), document=found.document))
            case ReadNumbers():
                return self.vote(self.read(result))
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def ballot(self, failure: Failure | None = None) -> Vote:
        """In COUNT, VERIFY, SEAL and PUBLISH a vote names its round: those of an earlier round are
        void."""
        return replace(super().ballot(failure), ready=self.ctl.cut_at, round=self.ctl.round)
