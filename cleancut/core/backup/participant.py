"""Agent's machine of a backup: agree on the view, get ready, see the fence, cut, upload.

A cut counts only under the session that made it; a later session may report the end of an upload,
from the journal. No I/O, no clock.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from cleancut.core.backup.phases import NEEDS_SESSIONS
from cleancut.core.primitives.codec import digest_of
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Command, Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import EpochMember, Failure, ShardTask, Vote, WalEnd
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.states import OperationKind, Phase

NOT_PREPARED = Failure(reason="UNAVAILABLE", message="has not prepared for the shards to cut")
NOT_CUT = Failure(reason="UNAVAILABLE", message="has not cut the shards to read again")
RESTARTED = Failure(reason="UNAVAILABLE", message="restarted before its shards were stored")


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch the parents' recipes of these tasks, and open the logs of their shards. Result: True if
    all logs are followed."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Arm the local end of the epoch's fence, then wait until the local peer shows it raised.
    Result: the `Fence`."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Capture:
    """Read the numbers, then open all streams at once. Result, when all are cut: `Readings`.

    The streams go on in the background; their end is the answer to `FinishCapture`.
    """

    epoch: Epoch
    tasks: tuple[ShardTask, ...]


@dataclass(frozen=True, slots=True)
class ReadLogs:
    """Read where the log of each shard ends, then whether the `fence` stands on the local peer.
    Result: `LogEnds`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    round: int
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class LogEnds:
    """Where each log ends, in the order of the tasks. `lost`: why one cannot be followed any more,
    and then no end of any is known. `fenced`: the fence stood after all were read."""

    ends: tuple[WalEnd, ...] = ()
    lost: str = ""
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class StandstillEnds:
    """The ends of all logs in the `round` of the standstill, and in the one before. `undrained`:
    indexes of collections."""

    round: int
    before: tuple[WalEnd, ...]
    after: tuple[WalEnd, ...]
    undrained: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FinishCapture:
    """Store with each shard its log up to the standstill, if one was found. Count the shards, wait
    until all captures are stored, then store the document of this agent's shards and journal it.
    Result: the document's sha256."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    first: Readings
    second: Readings
    still: StandstillEnds | None = None


@dataclass(frozen=True, slots=True)
class SeedShards:
    """Read these shards of a seed to their end, `streams` at a time, and store what the store does
    not have. Order: repeatable, independent of earlier effects. Result: `Seeded`."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    streams: int


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """Look this epoch up in the journal after a restart. Result: a sha256, or "" if absent."""

    epoch: Epoch


BackupParticipantEffect = (
    Observe
    | Load
    | Confirm
    | Capture
    | ReadNumbers
    | ReadLogs
    | FinishCapture
    | SeedShards
    | ReadJournal
)


class BackupParticipant(Participant):
    """One machine per session, for backups and for seeds."""

    open_phases = NEEDS_SESSIONS | {Phase.UPLOAD}

    def forget(self) -> None:
        super().forget()
        self._tasks: tuple[ShardTask, ...] | None = None
        self._ready = ""
        self._arrivals: int | None = None
        self._first: Readings | None = None
        self._second: Readings | None = None
        self._fence: Fence | None = None
        self._follows = False
        self._ends: dict[int, tuple[WalEnd, ...]] = {}

    def phase_began(self, member: EpochMember) -> list[Command]:
        seeds = self.ctl.kind is OperationKind.SEED and self.ctl.phase is Phase.UPLOAD
        if member.session != self.session and not seeds:
            return self._rejoin()
        if self.cast is not None and not self.cast.yes and self.cast.failure is not None:
            return self.refuse(self.cast.failure)  # a no stays a no in its epoch
        if seeds:  # a seed proves nothing, so a restarted agent just goes on
            return [self.run(SeedShards(self.ctl.epoch, member.tasks, self.ctl.streams))]
        match self.ctl.phase:
            case Phase.PREPARE:
                return [self.observe()]
            case Phase.FENCE:
                return [self.run(Confirm(self.ctl.epoch))]
            case Phase.CUT:
                return self._cut()
            case Phase.SEAL:
                return self._seal()
            case Phase.STANDSTILL:
                return self._look()
            case Phase.UPLOAD:
                return self._upload()
            case _:
                return []

    def reassigned(self, member: EpochMember | None) -> list[Command]:
        """Shards arrive in the middle of PREPARE: the agent gets ready for them at once."""
        if self.ctl.phase is not Phase.PREPARE or member is None or not member.assigned:
            return []
        if member.session != self.session or member.tasks == self._tasks:
            return []
        self._tasks, self._ready = member.tasks, ""
        return [self.run(Load(self.ctl.epoch, member.tasks))]

    # Phases

    def _rejoin(self) -> list[Command]:
        """A restarted agent votes only in UPLOAD: its cuts ended with the previous process."""
        return [self.run(ReadJournal(self.ctl.epoch))] if self.ctl.phase is Phase.UPLOAD else []

    def _speaks(self) -> bool:
        """True if its view is needed before shards are assigned; others vote once, when ready."""
        return self.ctl.speaker in (0, self.session)

    def _cut(self) -> list[Command]:
        if self._tasks is None or not self._ready:
            return self.refuse(NOT_PREPARED)
        return [self.run(Capture(self.ctl.epoch, self._tasks_to_cut(self._tasks)))]

    def _tasks_to_cut(self, tasks: tuple[ShardTask, ...]) -> tuple[ShardTask, ...]:
        """Without a drain, a number one above the parent's may be a write: no parent then."""
        undrained = self.ctl.undrained
        return tuple(replace(t, parent=None) if t.index in undrained else t for t in tasks)

    def _seal(self) -> list[Command]:
        if self._first is None or self._tasks is None:
            return self.refuse(NOT_CUT)
        return [self.run(ReadNumbers(self.ctl.epoch, self._tasks, self._fence))]

    def _look(self) -> list[Command]:
        if self._second is None or self._tasks is None:
            return self.refuse(NOT_CUT)
        epoch, tasks = self.ctl.epoch, self._tasks
        return [self.run(ReadLogs(epoch, tasks, self.ctl.round, self._fence))]

    def _upload(self) -> list[Command]:
        if self._tasks is None or self._first is None or self._second is None:
            return self._rejoin()
        epoch, tasks, first, second = self.ctl.epoch, self._tasks, self._first, self._second
        return [self.run(FinishCapture(epoch, tasks, first, second, self._still()))]

    def _still(self) -> StandstillEnds | None:
        """What was read in the standstill that the leader found."""
        found = self.ctl.standstill
        if not found:
            return None
        before, after = self._ends[found - 1], self._ends[found]
        return StandstillEnds(found, before, after, self.ctl.undrained)

    # Results of effects

    def observed(self, seen: Observed, vote: Vote) -> list[Command]:
        vote = replace(
            vote,
            view_object=seen.view_object,
            ready=self._ready,
            follows=self._follows,
            optimizing=seen.optimizing,
        )
        if self._ready and self._arrivals is None:
            self._arrivals = seen.arrivals
        load = self.reassigned(seen.member)
        if load:
            return [*self.vote(replace(vote, ready="")), *load] if self._speaks() else load
        return self.vote(vote) if self._speaks() or self._ready else []

    def completed(self, effect: Effect, result: Any) -> list[Command]:
        match effect:
            case Load():
                self._ready, self._follows = digest_of(effect.tasks), bool(result)
                return [self.observe()]
            case Confirm():
                self._fence = result
                return self.vote(replace(self.ballot(), fenced=True))
            case Capture():
                self._first = self._with_known_arrivals(result)
                return self.vote(self.read(self._first))
            case ReadNumbers():
                self._second = result
                return self.vote(self.read(result))
            case ReadLogs():
                return self._looked(effect.round, result)
            case FinishCapture():
                return self.vote(replace(self.ballot(), document=result))
            case SeedShards():
                return self.vote(replace(self.ballot(), seeded=result))
            case ReadJournal():
                if not result:
                    return self.refuse(RESTARTED)
                return self.vote(replace(self.ballot(), document=result))
            case _:
                raise AssertionError(f"unexpected effect: {effect}")

    def _looked(self, number: int, found: LogEnds) -> list[Command]:
        before = self._ends.get(number - 1)
        self._ends = {number - 1: before or (), number: found.ends}
        if found.lost:
            return self.vote(replace(self.ballot(), round=number, lost=found.lost))
        grown = zip(before, found.ends, strict=True) if before else ()
        vote = replace(self.ballot(), round=number, ends=digest_of(found.ends), fenced=found.fenced)
        moved = -1 if before is None else sum(old != new for old, new in grown)
        return self.vote(replace(vote, moved=moved))

    def _with_known_arrivals(self, first: Readings) -> Readings:
        """What arrived between readiness and the first reading may have done so after the drain:
        then the next operation does not move the number, and the number proves nothing."""
        known = first.arrivals == self._arrivals
        return first if known else dataclasses.replace(first, arrivals=-1)

    def read(self, seen: Readings) -> Vote:
        """The states of all shards too; the second reading also says what became of the view and of
        the fence."""
        vote = super().read(seen)
        return replace(vote, states=seen.states, view=seen.view, fenced=seen.fenced)
