"""Stories of ended operations: which are still to be stored, what they say, how long they stay.

Pure: the rules only. An operation's record stays in etcd until its story is in the store, so a
store that was the reason of the failure gets it later; but not for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from cleancut.core.format.story import Story, StoryKind, StoryName
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import FINAL_STATES, State

KEPT_S = 400 * 86400.0
"""How long stories stay in the store, unless the settings say otherwise."""
IN_ETCD_S = 48 * 3600.0
"""How long an ended operation stays in etcd."""
UNRECORDED_S = 30 * 86400.0
"""How long one stays whose story no store has taken."""
AGENTS = "agents"
"""The fact of a story that names agents by peers."""
GOOD = "good"
"""The outcome of work that found nothing wrong; another one says what it found."""
SCHEDULE_VARIABLE = "CLEANCUT_SCHEDULE"
"""Of the environment of a command that a schedule starts: the name of that schedule."""
ASKED_BY_VARIABLE = "CLEANCUT_ASKED_BY"
"""Of the environment of a command that the leader was asked for: the caller's name."""
_DAY_S = 86400.0
AT_ONCE = 20
"""Stories that are stored in one round; the rest waits for the next."""


def unrecorded(operations: Iterable[Operation]) -> list[Operation]:
    """The ended operations whose stories are still to be stored, the oldest first. A committed
    backup has it in its manifest."""
    found = [
        one
        for one in operations
        if one.state in FINAL_STATES
        if one.state is not State.COMMITTED and not one.recorded
        if one.created_at and one.ended_at
    ]
    return sorted(found, key=lambda one: (one.ended_at, one.id))[:AT_ONCE]


def story_of(
    operation: Operation, document: Any = None, agents: Mapping[int, str] | None = None
) -> Story:
    """The story of an ended operation. `document`: what its record names as `detail`. `agents`: by
    peer, for one of which the document names peers by their ids alone."""
    return Story(
        kind=StoryKind(operation.kind.value),
        id=operation.id,
        at=operation.created_at,
        ended_at=operation.ended_at,
        state=operation.state,
        asked_by=operation.asked_by,
        operation=replace(operation, nonce="", recorded=False),
        document=document,
        facts={AGENTS: {str(peer): name for peer, name in agents.items()}} if agents else {},
    )


def may_leave_etcd(operation: Operation, now_s: float) -> bool:
    """True once its record is needed no longer."""
    if not operation.ended_at:
        return False
    over_s = now_s - parse_time(operation.ended_at)
    known = operation.recorded or operation.state is State.COMMITTED
    return over_s > (IN_ETCD_S if known else UNRECORDED_S)


def is_expired(name: StoryName, now_s: float, kept_s: float) -> bool:
    """True if the story of this name has been there for its time."""
    return parse_time(name.at) < now_s - kept_s


def recent_months(now_s: float) -> list[str]:
    """The months, such as 202603, into which stories still come: the newest first. One comes under
    the time at which its operation was asked for, by a clock that may be a little ahead."""
    days = (1.0, 0.0, -UNRECORDED_S / _DAY_S / 2, -UNRECORDED_S / _DAY_S)
    months = [format_time(now_s + day * _DAY_S)[:7].replace("-", "") for day in days]
    return list(dict.fromkeys(months))
