"""Patience of backups and seeds: agents that are away are waited for, and cost no attempt. Pure.

An attempt that ended because agents were missing says nothing about the next one, so it is not
counted; the next one begins once the agents that it needs are back, or the wait is over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.primitives.timestamps import format_time, parse_time, to_second
from cleancut.core.protocol.etcd_records import Awaited, Away, Failure, Operation
from cleancut.core.protocol.requests import BackupRequest, SeedRequest

MAX_EXCUSED = 20
"""Attempts of one operation that are not counted: an agent that every attempt brings down must not
come down for the whole wait."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who there was when an attempt began: the peers with a usable agent, and those whose agent was
    there before and is not now. `at_s`: when that was, by the wall clock."""

    present: tuple[PeerId, ...]
    away: tuple[PeerId, ...]
    at_s: float


class Verdict(Enum):
    """Whether the next attempt of an operation that waits for agents begins."""

    BEGIN = "begin"
    WAIT = "wait"
    GIVE_UP = "give up"


def excused(
    operation: Operation,
    request: BackupRequest | SeedRequest,
    failure: Failure,
    attendance: Attendance | None,
) -> Operation | None:
    """The operation as it waits for agents, its last attempt not counted; None if that one counts:
    nothing that is known to have been there is missing, or a single attempt was asked for."""
    if attendance is None or request.attempts == 1 or operation.excused >= MAX_EXCUSED:
        return None
    if failure.away is None or (failure.away is Away.NEVER_CAME and not attendance.away):
        return None
    before = operation.awaited or Awaited(
        since=format_time(attendance.at_s), until=format_time(attendance.at_s + request.wait_s)
    )
    lost = failure.away is Away.LEFT
    awaited = replace(before, peers=attendance.present, lost=lost, what="")
    return replace(operation, excused=operation.excused + 1, awaited=awaited)


def look(
    awaited: Awaited, able: Collection[PeerId], away: Mapping[PeerId, AgentName], now_s: float
) -> Verdict:
    """What follows from the peers with a usable agent (`able`), and from those whose agent was
    there before (`away`).

    All are back; or, where one was lost, those of the attempt are; or one has come that it lacked.
    """
    before = set(awaited.peers)
    back = before <= set(able) if awaited.lost else bool(set(able) - before)
    if not away or back:
        return Verdict.BEGIN
    return Verdict.GIVE_UP if now_s >= parse_time(awaited.until) else Verdict.WAIT


def described(awaited: Awaited, away: Mapping[PeerId, AgentName]) -> str:
    """What is waited for, for people."""
    names = [f"{name} (peer {peer})" for peer, name in sorted(away.items())]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    agents = "agent" if len(names) == 1 else "agents"
    until = to_second(awaited.until)
    return f"waits for {agents} {', '.join(names[:_SHOWN])}{more}, until {until} at most"


def given_up(operation: Operation, away: Mapping[PeerId, AgentName]) -> Failure:
    """The failure of an operation whose wait is over."""
    last = operation.failure or Failure(Unavailable.reason, "agents are missing")
    names = ", ".join(f"{name} (peer {peer})" for peer, name in sorted(away.items())[:_SHOWN])
    since = operation.awaited.since if operation.awaited else operation.created_at
    return replace(
        last,
        message=f"{last.message}; waited since {since} for {names}",
        hint=last.hint or "start the agents of these peers; see `cleancut doctor`",
    )
