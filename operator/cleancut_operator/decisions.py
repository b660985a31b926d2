"""Decisions about one object: which call comes next, and what an answer changes in it. Pure.

Everything is decided again from the object alone, so that a restart of the operator continues where
it was. `requestedAt` is in the status before anything is asked for; with the uid as request id, a
call that is repeated starts nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.operations import is_over
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.api.values import OperationError
from cleancut.core.primitives.errors import CleancutError, Invalid, NotFound, Refused
from cleancut.core.primitives.timestamps import format_second, parse_time
from cleancut.core.protocol.states import IN_CATALOG, State
from cleancut_operator.conditions import (
    COMPLETE,
    FAILED,
    PROGRESSING,
    READY,
    camel,
    conditions,
    holds,
)
from cleancut_operator.resources import Fields, Kind, Seen
from cleancut_operator.statuses import (
    DELETED,
    differs,
    error_fields,
    schedule_status,
    status_of,
    verdict_of,
)

POLL_S = 5.0
"""Between two looks at an operation that is not over."""
CATALOG_S = 600.0
"""Between two looks at a backup in the catalog, which may expire or be found damaged."""
SCHEDULE_S = 30.0
"""Between two looks at a schedule."""
REPEATABLE_S = 47 * 3600.0
"""Coordinators know a request id for 48 h; later, a repeat would be another operation."""
_FINAL = (Invalid, NotFound, Refused)
"""Kinds of errors that repeating a start does not help against."""


class Call(Enum):
    """What to do next. HOLD: put the finalizer on, LET_GO: take it off; CLAIM: note that a start
    follows; GIVE_UP: a start may have happened, and cannot be asked for any more."""

    NONE = "none"
    HOLD = "hold"
    LET_GO = "let go"
    CLAIM = "claim"
    GIVE_UP = "give up"
    START = "start"
    LOOK = "look"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Told:
    """An event of Kubernetes about the object."""

    is_good: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """What an answer leads to. `status`: the fields to change. `finalizers`: all that it is to
    have; None: as they are. `wait_s` until the next call; None: until the object changes."""

    status: Fields = field(default_factory=dict)
    finalizers: tuple[str, ...] | None = None
    told: Told | None = None
    wait_s: float | None = None


def next_call(seen: Seen, now_s: float) -> Call:
    """What comes next for the object."""
    held, name = seen.finalizer in seen.finalizers, seen.status.get("id")
    if seen.kind is Kind.SCHEDULE:
        return _next_of_schedule(seen, held=held)
    if seen.is_leaving:
        if not held:
            return Call.NONE
        asked = seen.deletes and "requestedAt" in seen.status
        if not asked or not (name or _is_repeatable(seen, now_s)) or _is_without_backup(seen):
            return Call.LET_GO
        return _ending(seen) if name else Call.START
    if held != seen.deletes:
        return Call.HOLD if seen.deletes else Call.LET_GO
    if _is_settled(seen):
        return Call.NONE
    if name:
        return Call.LOOK
    if "requestedAt" not in seen.status:
        return Call.CLAIM
    return Call.START if _is_repeatable(seen, now_s) else Call.GIVE_UP


def _next_of_schedule(seen: Seen, *, held: bool) -> Call:
    if seen.is_leaving:
        if not held:
            return Call.NONE
        return Call.DELETE if seen.deletes else Call.LET_GO
    if held != seen.deletes:
        return Call.HOLD if seen.deletes else Call.LET_GO
    return Call.LOOK


def _ending(seen: Seen) -> Call:
    """Of an object whose backup goes with it: the backup is deleted, once it is one."""
    phase = seen.status.get("phase", "")
    if phase in IN_CATALOG:
        return Call.DELETE
    return Call.LOOK if phase == State.COMMITTING else Call.CANCEL


def _is_without_backup(seen: Seen) -> bool:
    """It failed before there was a backup, or the backup is deleted already."""
    if seen.status.get("state") == DELETED:
        return True
    return holds(seen, FAILED) and seen.status.get("phase") not in IN_CATALOG


def _is_settled(seen: Seen) -> bool:
    """Nothing will change in it by itself: all that ended, but for a backup in the catalog."""
    if _is_without_backup(seen):
        return True
    over = holds(seen, COMPLETE) or holds(seen, FAILED)
    return over and seen.kind is not Kind.BACKUP


def _is_repeatable(seen: Seen, now_s: float) -> bool:
    return now_s - parse_time(seen.status["requestedAt"]) < REPEATABLE_S


def claimed(seen: Seen, now_s: float) -> Step:
    """Before the first call that starts something."""
    now = format_second(now_s)
    fields = _with_conditions(seen, {"state": "pending"}, (PROGRESSING, "REQUESTED", ""), now=now)
    return Step(status=fields | {"requestedAt": now}, wait_s=0.0)


def held(seen: Seen, *, hold: bool) -> Step:
    """The finalizer is put on, or taken off; those of others stay."""
    others = tuple(one for one in seen.finalizers if one != seen.finalizer)
    return Step(finalizers=(*others, seen.finalizer) if hold else others, wait_s=0.0)


def given_up(seen: Seen, now_s: float) -> Step:
    """It was asked for so long ago that nothing can tell whether it began."""
    message = f"asked for at {seen.status['requestedAt']}, and never answered since"
    hint = "look at the list of operations, and create a new object"
    error = OperationError(reason="UNKNOWN", message=message, hint=hint)
    return _ended(seen, error, now_s)


def answered(seen: Seen, operation: Backup | Restore, now_s: float) -> Step:
    """After a start, a look, a cancel or a deletion that was answered."""
    verdict = verdict_of(operation)
    fields = status_of(operation)
    if operation.state is State.DELETED:
        fields["state"] = DELETED
    in_catalog = operation.state in IN_CATALOG
    wait_s = (CATALOG_S if in_catalog else None) if is_over(operation) else POLL_S
    if seen.is_leaving and is_over(operation):
        wait_s = 0.0
    return _changed(seen, fields, verdict, now_s=now_s, wait_s=wait_s)


def scheduled(seen: Seen, schedule: Schedule, now_s: float) -> Step:
    """After a look at the schedule, which is now as its object says, unless it is another's."""
    verdict = READY, "PAUSED" if schedule.paused else "WAITING", ""
    if is_of_another(seen, schedule):
        verdict = "", *_reason_of_another(schedule)
    fields = schedule_status(schedule)
    return _changed(seen, fields, verdict, now_s=now_s, wait_s=SCHEDULE_S)


def is_of_another(seen: Seen, schedule: Schedule) -> bool:
    """Whether an object that defines the schedule has to leave it alone."""
    return seen.defines and (schedule.origin == "file" or schedule.owner != seen.owner)


def _reason_of_another(schedule: Schedule) -> tuple[str, str]:
    if schedule.origin == "file":
        return "DEFINED_IN_FILE", (
            "the settings file of the coordinators has a schedule of this name, which counts"
        )
    keeper = schedule.owner or "a call: `cleancut schedule delete` makes room"
    return "DEFINED_ELSEWHERE", f"the schedule of this name is defined by {keeper}"


def must_define(seen: Seen, schedule: Schedule | None) -> bool:
    """Whether the coordinators have to learn what the object defines: it is new or has changed, or
    what they have is not what they were given last."""
    if not seen.defines or (schedule is not None and is_of_another(seen, schedule)):
        return False
    told = seen.status.get("revision"), seen.status.get("observedGeneration")
    return schedule is None or told != (schedule.revision, seen.generation)


def deleted(seen: Seen, now_s: float) -> Step:
    """The backup is not in the catalog any more: it was deleted, or it expired."""
    verdict = COMPLETE, "DELETED", "it was committed, and is not in the catalog any more"
    wait_s = 0.0 if seen.is_leaving else None
    return _changed(seen, {"state": DELETED}, verdict, now_s=now_s, wait_s=wait_s)


def failed(seen: Seen, call: Call, error: CleancutError, *, now_s: float, wait_s: float) -> Step:
    """After a call that failed. `wait_s`: before it is repeated, if that may help."""
    if seen.kind is Kind.SCHEDULE:
        verdict = "", error.reason, str(error)
        told = {"revision": None}  # so that it is given again
        return _changed(seen, told, verdict, now_s=now_s, wait_s=max(wait_s, SCHEDULE_S))
    if isinstance(error, NotFound) and seen.status.get("id"):
        if holds(seen, COMPLETE) or seen.status.get("phase") in IN_CATALOG:
            return deleted(seen, now_s)
        return _ended(seen, _shown(error), now_s)
    if call is Call.START and isinstance(error, _FINAL):
        return _ended(seen, _shown(error), now_s)
    if call is not Call.START and seen.status.get("phase") in IN_CATALOG and not seen.is_leaving:
        return Step(wait_s=wait_s)  # the backup is what it was
    verdict = PROGRESSING, error.reason, str(error)
    return _changed(seen, error_fields(_shown(error)), verdict, now_s=now_s, wait_s=wait_s)


def _shown(error: CleancutError) -> OperationError:
    return OperationError(reason=error.reason, message=error.message, hint=error.hint)


def _ended(seen: Seen, error: OperationError, now_s: float) -> Step:
    verdict = FAILED, error.reason, error.message
    fields = {"state": "failed", **error_fields(error)}
    wait_s = 0.0 if seen.is_leaving else None
    return _changed(seen, fields, verdict, now_s=now_s, wait_s=wait_s)


def _changed(
    seen: Seen,
    fields: dict[str, Any],
    verdict: tuple[str, str, str],
    *,
    now_s: float,
    wait_s: float | None,
) -> Step:
    """Nothing, if the object says so already."""
    wanted = _with_conditions(seen, fields, verdict, now=format_second(now_s))
    if not differs(seen.status, wanted):
        return Step(wait_s=wait_s)
    return Step(status=wanted, told=_told(seen, wanted, verdict), wait_s=wait_s)


def _told(seen: Seen, wanted: Fields, verdict: tuple[str, str, str]) -> Told | None:
    """An event for the start and for the end, not for what lies between."""
    name, reason, message = verdict
    if name in (COMPLETE, FAILED) and not holds(seen, name):
        return Told(name == COMPLETE, name, message or camel(reason))
    if wanted.get("id") and "id" not in seen.status:
        return Told(True, "Started", str(wanted["id"]))
    return None


def _with_conditions(
    seen: Seen, fields: dict[str, Any], verdict: tuple[str, str, str], *, now: str
) -> dict[str, Any]:
    name, reason, message = verdict
    made = conditions(seen, name, reason, message, now=now)
    return fields | {"observedGeneration": seen.generation, "conditions": made}
