"""Agent side of the protocol: what its machines of a backup and of a restore have in common.

A machine follows `ctl` and its own member record, and answers with votes. No I/O, no clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from msgspec.structs import replace

from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.commands import CastVote, Command, Effect, Run, Stop
from cleancut.core.protocol.effect_requests import (
    OBSERVE_EVERY_S,
    OPTIMIZING_EVERY_S,
    Observe,
    Observed,
    Readings,
)
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, Vote
from cleancut.core.protocol.events import Done, Event, Failed, Seen, Tick
from cleancut.core.protocol.states import Phase

OTHER_STORE = Failure(
    reason="REFUSED",
    message="uses another store than the coordinator (its probe object is missing)",
    hint="give all agents and coordinators the same store; file:// must be a shared mount",
)

TICKED = Phase.PREPARE
"""The only phase in which a machine does anything at a tick."""


class Participant(ABC):
    """One machine per session. All its votes carry the token `session`.

    At most one effect counts at a time (`running`); `cast` is the newest vote of the epoch.
    """

    open_phases: ClassVar[frozenset[Phase]]
    """Phases in which the machine takes part; in any other it forgets the epoch."""

    def __init__(self, session: FencingToken) -> None:
        self.session = session
        self.ctl = Ctl()
        self.now_s = self.began_s = 0.0
        self.forget()

    def forget(self) -> None:
        """Drops everything that belongs to one epoch."""
        self.running: Effect | None = None
        self.cast: Vote | None = None
        self.observe_at_s = 0.0

    def step(self, event: Event, now_s: float) -> list[Command]:
        """The commands that follow from `event`, in order."""
        self.now_s = now_s
        match event:
            case Seen():
                return self._seen(event)
            case Done():
                return self._done(event, now_s) if event.effect == self.running else []
            case Failed():
                return self._failed(event) if event.effect == self.running else []
            case Tick():
                return self._tick(now_s)
            case _:
                raise AssertionError(f"not an agent's event: {event}")

    # What each machine defines

    def reassigned(self, member: EpochMember | None) -> list[Command]:
        """Reaction to a member record that changes within a phase."""
        return []

    @abstractmethod
    def phase_began(self, member: EpochMember) -> list[Command]:
        """The work of the phase that has just begun."""

    @abstractmethod
    def observed(self, seen: Observed, vote: Vote) -> list[Command]:
        """Reaction to an observation; `vote` is the yes that it supports."""

    @abstractmethod
    def completed(self, effect: Effect, result: Any) -> list[Command]:
        """Reaction to the result of any effect but `Observe`."""

    @property
    def observes_again(self) -> bool:
        """True if the view is observed again while PREPARE lasts."""
        return self.cast is None or self.cast.yes

    # Events

    def _seen(self, event: Seen) -> list[Command]:
        before, self.ctl = self.ctl, event.ctl
        if (before.epoch, before.phase) != (self.ctl.epoch, self.ctl.phase):
            self.began_s = self.now_s
        stop: list[Command] = []
        if before.epoch != self.ctl.epoch or self.ctl.phase not in self.open_phases:
            stop = [Stop(before.epoch)] if before.phase in self.open_phases else []
            self.forget()
        if _stage(before) == _stage(self.ctl):
            return [*stop, *self.reassigned(event.member)]
        self.running = None  # a running effect belongs to the previous phase
        if event.member is None:
            return stop
        return [*stop, *self.phase_began(event.member)]

    def _tick(self, now_s: float) -> list[Command]:
        due = self.ctl.phase is TICKED and now_s >= self.observe_at_s
        return [self.observe()] if due and self.running is None and self.observes_again else []

    def _done(self, event: Done, now_s: float) -> list[Command]:
        effect, self.running = event.effect, None
        if isinstance(effect, Observe):
            return self._observed(event.result, now_s)
        return self.completed(effect, event.result)

    def _observed(self, seen: Observed, now_s: float) -> list[Command]:
        self.observe_at_s = now_s + (OPTIMIZING_EVERY_S if seen.optimizing else OBSERVE_EVERY_S)
        if seen.probe != self.ctl.probe:
            return self.refuse(OTHER_STORE)
        vote = replace(self.ballot(), view=seen.view, probe=seen.probe, free_bytes=seen.free_bytes)
        return self.observed(seen, vote)

    def _failed(self, event: Failed) -> list[Command]:
        self.running = None
        return self.refuse(event.failure)

    # Commands

    def run(self, effect: Effect) -> Run:
        """Starts `effect`; its answer is the next `Done` or `Failed` that counts."""
        self.running = effect
        return Run(effect)

    @property
    def took_ms(self) -> int:
        """Since the present phase was seen."""
        return max(0, round((self.now_s - self.began_s) * 1000))

    def observe(self) -> Run:
        return self.run(Observe(self.ctl.epoch, self.ctl.probe))

    def ballot(self, failure: Failure | None = None) -> Vote:
        """A vote without content: yes, or no for the reason of `failure`."""
        return Vote(session=self.session, yes=failure is None, failure=failure)

    def read(self, seen: Readings) -> Vote:
        """A yes with the numbers of all shards."""
        return replace(
            self.ballot(),
            numbers=seen.numbers,
            incarnation=seen.incarnation,
            arrivals=seen.arrivals,
        )

    def vote(self, vote: Vote) -> list[Command]:
        """The vote, unless it equals the previous one (free bytes and time alone are not worth a
        write)."""
        vote = replace(vote, took_ms=self.took_ms)
        cast = self.cast
        if cast is not None and cast == replace(
            vote, free_bytes=cast.free_bytes, took_ms=cast.took_ms
        ):
            return []
        self.cast = vote
        return [CastVote(self.ctl.phase.value, vote)]

    def refuse(self, failure: Failure) -> list[Command]:
        """A no, cast even if it repeats the previous vote."""
        self.cast = replace(self.ballot(failure), took_ms=self.took_ms)
        return [CastVote(self.ctl.phase.value, self.cast)]


def _stage(ctl: Ctl) -> tuple[Epoch, Phase, str, int]:
    """The key of one reaction: a phase of an attempt, and its round."""
    return ctl.epoch, ctl.phase, ctl.cut_at, ctl.round
