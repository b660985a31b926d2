"""The vocabulary that the four machines share: events that go in, commands that come out.

A machine is a class with `step(event, now_s) -> list[Command]`. Commands are carried out in order;
what follows a `Persist` or `Decide` happens only once it was applied, and a refused one ends the
machine (a newer leader is in charge). Effects answer later, with `Done` or `Failed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, PeerId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Failure, Operation, Session, Vote
from cleancut.core.protocol.fence import Fence

# Events


@dataclass(frozen=True, slots=True)
class Started:
    """An operation gets its turn as attempt `epoch`. `sessions` are the live agents that can use
    their Qdrant, `problems` say why others cannot. `away`: the peers whose agent was there before
    and is not now; `wall_s`: when that was."""

    operation: Operation
    epoch: Epoch
    nonce: str
    sessions: dict[AgentName, tuple[FencingToken, Session]]
    problems: tuple[str, ...] = ()
    away: tuple[PeerId, ...] = ()
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TakenOver:
    """This coordinator has become leader and read what its predecessor left. `fence`: of ctl's
    epoch, if it was not seen lifted. `wall_s`: when that was."""

    ctl: Ctl
    operation: Operation | None
    members: dict[AgentName, EpochMember]
    votes: dict[tuple[str, AgentName], Vote]
    fence: Fence | None = None
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Voted:
    agent: AgentName
    epoch: Epoch
    phase: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """An agent's session ended (`token` None) or began again."""

    agent: AgentName
    token: FencingToken | None


@dataclass(frozen=True, slots=True)
class Progressed:
    """An agent reported that bytes moved."""

    agent: AgentName


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A user asked to stop the open operation."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent read `ctl`, and its own member record of that epoch if it has one."""

    ctl: Ctl
    member: EpochMember | None


@dataclass(frozen=True, slots=True)
class Done:
    effect: Effect
    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    effect: Effect
    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Arrives at least once a second."""


Event = (
    Started
    | TakenOver
    | Voted
    | SessionMoved
    | Progressed
    | Cancelled
    | Seen
    | Done
    | Failed
    | Tick
)

# Commands
