"""Commands of all state machines: what `step` returns, to be carried out in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation, Vote
from cleancut.core.protocol.fence import Fence


class Effect(Protocol):
    """Work for a shell. Its class says what to do; `epoch` lets a late answer be told apart."""

    @property
    def epoch(self) -> Epoch: ...


@dataclass(frozen=True, slots=True)
class Persist:
    """One guarded write: the new `ctl` if given, the operation, members, and the fence that is
    going to be raised."""

    ctl: Ctl | None = None
    operation: Operation | None = None
    members: dict[AgentName, EpochMember] = field(default_factory=dict)
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Decide:
    """The commit: `ctl` and the group, guarded by all votes of `phase` being there, unchanged."""

    ctl: Ctl
    phase: str
    voters: tuple[AgentName, ...]


@dataclass(frozen=True, slots=True)
class Run:
    effect: Effect


@dataclass(frozen=True, slots=True)
class Lift:
    """Lift this fence now, and again until it is seen lifted. Nobody waits for it."""

    fence: Fence


@dataclass(frozen=True, slots=True)
class CastVote:
    """An agent's vote, guarded by its session and by the `ctl` that it answers."""

    phase: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel every running effect of `epoch` and wait until it has ended."""

    epoch: Epoch


Command = Persist | Decide | Run | Lift | CastVote | Stop
