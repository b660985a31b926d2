"""An agent's machine in a restore: see the same, recover its shards, count them, read again.

It follows `ctl` and its own member record, and answers with votes. What is recovered is in Qdrant
and outlives the session, so a restarted agent goes on where its predecessor voted. No I/O, no
clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.effect_requests import (
    OBSERVE_EVERY_S,
    Observe,
    Observed,
    Readings,
    ReadNumbers,
)
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, ShardTask, Vote
from cleancut.core.protocol.events import Done, Event, Failed, Seen, Tick
from cleancut.core.protocol.states import Phase

_OPEN = frozenset({Phase.PREPARE, Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL})


@dataclass(frozen=True, slots=True)
class HasRecovered:
    """Whether this agent has told, before a restart, that all its shards are recovered."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Recover:
    """Serve the tars of these tasks and have the own peer pull them. `empty`: refuse, if a shard
    holds points before (a restarted agent may find its predecessor's)."""

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    empty: bool


@dataclass(frozen=True, slots=True)
class Verify:
    """Read the numbers, then count and search every shard. Result: `Verified`.

    `round` tells the answer of an earlier round, which a new leader has made void, apart.
    """

    epoch: Epoch
    tasks: tuple[ShardTask, ...]
    round: str


@dataclass(frozen=True, slots=True)
class Verified:
    """`document`: sha256 of the stored document that tells what was found."""

    readings: Readings
    document: str


PullEffect = Observe | HasRecovered | Recover | Verify | ReadNumbers


class RestoreParticipant:
    """One machine a session. `session` is the token that all its votes carry."""

    def __init__(self, session: FencingToken) -> None:
        self.session = session
        self.ctl = Ctl()
        self._forget()

    def _forget(self) -> None:
        self._tasks: tuple[ShardTask, ...] = ()
        self._running: Effect | None = None
        self._cast: Vote | None = None
        self._look_at_s = 0.0

    def step(self, event: Event, now_s: float) -> list[Command]:
        """What to do about `event`, in order."""
        match event:
            case Seen():
                return self._seen(event)
            case Done():
                return self._done(event, now_s) if event.effect == self._running else []
            case Failed():
                return self._failed(event) if event.effect == self._running else []
            case Tick():
                return self._look(now_s)
            case _:
                raise AssertionError(f"not an agent's event: {event}")

    def _seen(self, event: Seen) -> list[Command]:
        before, self.ctl = self.ctl, event.ctl
        stop: list[Command] = []
        if before.epoch != event.ctl.epoch or event.ctl.phase not in _OPEN:
            stop = [Stop(before.epoch)] if before.phase in _OPEN else []
            self._forget()
        if _stage(before) == _stage(self.ctl):
            return stop
        self._running, self._cast = None, None  # what still runs was asked for in another phase
        if event.member is None:
            return stop
        return [*stop, *self._follow(event.member)]

    def _follow(self, member: EpochMember) -> list[Command]:
        """What the phase that has just begun asks for."""
        self._tasks, epoch = member.tasks, self.ctl.epoch
        if self.ctl.phase is Phase.PREPARE:
            known = member.session == self.session
            return [self._run(Observe(epoch, self.ctl.probe))] if known else []
        if not self._tasks:
            return []
        match self.ctl.phase:
            case Phase.RECOVER if member.session == self.session:
                return [self._run(Recover(epoch, self._tasks, empty=True))]
            case Phase.RECOVER:
                return [self._run(HasRecovered(epoch))]
            case Phase.VERIFY:
                return [self._run(Verify(epoch, self._tasks, self.ctl.cut_at))]
            case Phase.SEAL:
                return [self._run(ReadNumbers(epoch, self._tasks))]
            case _:
                return []

    def _look(self, now_s: float) -> list[Command]:
        due = self.ctl.phase is Phase.PREPARE and now_s >= self._look_at_s
        if not due or self._running is not None or self._cast is None or not self._cast.yes:
            return []
        return [self._run(Observe(self.ctl.epoch, self.ctl.probe))]

    # Answers of effects

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self._running = self._running, None
        match effect:
            case Observe():
                return self._observed(event.result, now_s)
            case HasRecovered():
                again = Recover(self.ctl.epoch, self._tasks, empty=False)
                return [] if event.result else [self._run(again)]
            case Recover():
                return self._vote(self._yes())
            case Verify():
                found: Verified = event.result
                vote = self._with_readings(found.readings)
                return self._vote(replace(vote, document=found.document))
            case ReadNumbers():
                return self._vote(self._with_readings(event.result))
            case _:
                raise AssertionError("an answer that nobody waits for")

    def _observed(self, seen: Observed, now_s: float) -> list[Command]:
        self._look_at_s = now_s + OBSERVE_EVERY_S
        if seen.probe != self.ctl.probe:
            message = "sees another store than the coordinator (its probe object is not there)"
            hint = "give all agents and coordinators one store; file:// must be a shared mount"
            return self._vote(self._no(Failure(reason="REFUSED", message=message, hint=hint)))
        vote = replace(self._yes(), view=seen.view, probe=seen.probe, free_bytes=seen.free_bytes)
        return self._vote(vote)

    def _failed(self, event: Failed) -> list[Command]:
        self._running = None
        return self._vote(self._no(event.failure))

    # Votes

    def _yes(self) -> Vote:
        """In VERIFY and SEAL a vote names its round, so that an earlier one's does not count."""
        return Vote(session=self.session, yes=True, ready=self.ctl.cut_at)

    def _no(self, failure: Failure) -> Vote:
        return Vote(session=self.session, yes=False, failure=failure, ready=self.ctl.cut_at)

    def _with_readings(self, seen: Readings) -> Vote:
        return replace(
            self._yes(),
            numbers=seen.numbers,
            incarnation=seen.incarnation,
            arrivals=seen.arrivals,
        )

    def _vote(self, vote: Vote) -> list[Command]:
        """The vote, unless it is what was cast last (free bytes alone are not worth a write)."""
        if self._cast is not None and replace(vote, free_bytes=self._cast.free_bytes) == self._cast:
            return []
        self._cast = vote
        return [CastVote(self.ctl.phase.value, vote)]

    def _run(self, effect: Effect) -> Run:
        self._running = effect
        return Run(effect)


def _stage(ctl: Ctl) -> tuple[Epoch, Phase, str]:
    """What an agent acts upon once: a phase of an attempt, and its round."""
    return ctl.epoch, ctl.phase, ctl.cut_at
