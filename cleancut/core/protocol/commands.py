"""Commands of all state machines: what `step` returns, to be carried out in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation, Vote
from cleancut.core.protocol.fence import Fence


class Effect(Protocol):
    """Work for a shell. Its class names the work; `epoch` identifies a late answer."""

    @property
    def epoch(self) -> Epoch: ...


@dataclass(frozen=True, slots=True)
class Persist:
    """One guarded write: the new `ctl` if given, the operation, members, and the fence to
    raise."""

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
    """Lift this fence now, and again until it is seen lifted. Not waited for."""

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
