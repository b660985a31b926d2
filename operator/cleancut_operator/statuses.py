"""Statuses of objects: operations as the API shows them, in the fields of the CRDs. Pure."""

from __future__ import annotations

from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.api.state_words import Word, state_of, word_of
from cleancut.api.values import OperationError
from cleancut.core.protocol.states import State
from cleancut.page.words import size
from cleancut_operator.conditions import COMPLETE, FAILED, PROGRESSING
from cleancut_operator.resources import Fields

DELETED = "deleted"
"""The state of a backup that is not in the catalog any more."""
_LISTED, _LONGEST = 100, 1024
_HOLDS = {Word.OK: COMPLETE, Word.PARTIAL: COMPLETE, Word.IMPORTED: COMPLETE}
_UNFINISHED = (Word.PENDING, Word.RUNNING)


def status_of(operation: Backup | Restore) -> dict[str, Any]:
    """All fields but the conditions; None for what is not known."""
    common = {
        "state": state_of(operation).value,
        "phase": operation.state.value,
        "id": operation.id,
        "startedAt": operation.created_at,
        "endedAt": operation.ended_at,
        **error_fields(operation.error),
        "warnings": [one[:_LONGEST] for one in operation.warnings[:_LISTED]] or None,
    }
    if isinstance(operation, Backup):
        return common | _of_backup(operation)
    return common | _of_restore(operation)


def _of_backup(backup: Backup) -> dict[str, Any]:
    taken = backup.bytes
    return {
        "number": backup.epoch or None,
        "cutAt": backup.cut_at,
        "consistency": backup.evidence.consistency.value if backup.evidence else None,
        "collections": list(backup.collections[:_LISTED]) or None,
        "missing": [one.name for one in backup.missing[:_LISTED]] or None,
        "bytes": {"protected": taken.protected, "new": taken.new, "stored": taken.stored}
        if taken.protected
        else None,
        "size": size(taken.protected) if taken.protected else None,
    }


def _of_restore(restore: Restore) -> dict[str, Any]:
    return {
        "backupId": restore.backup_id or None,
        "number": restore.backup_epoch or None,
        "collections": [
            {"name": one.name, "publishedAs": one.published_as, "shards": one.shards}
            for one in restore.collections[:_LISTED]
        ]
        or None,
        "rebalanceId": restore.rebalance_id or None,
    }


def schedule_status(schedule: Schedule) -> dict[str, Any]:
    """All fields but the conditions; None for what is not known."""
    return {
        "paused": schedule.paused,
        "do": schedule.do,
        "cron": schedule.cron,
        "timeZone": schedule.time_zone,
        "nextAt": schedule.next_at,
        "lastId": schedule.last_id or None,
        "lastDueAt": schedule.last_due_at,
        "lastState": word_of(schedule.last_state).value if schedule.last_state else None,
        "lastOutcome": schedule.last_outcome or None,
        "skippedAt": schedule.skipped_at,
        "skippedWhy": schedule.skipped_why[:_LONGEST] or None,
        "definedIn": schedule.origin or None,
        "revision": schedule.revision or None,
    }


def error_fields(error: OperationError | None) -> dict[str, Any]:
    """Why it failed, or its latest attempt did."""
    if error is None:
        return {"reason": None, "message": None, "hint": None}
    return {
        "reason": error.reason,
        "message": error.message[:_LONGEST],
        "hint": error.hint[:_LONGEST] or None,
    }


def verdict_of(operation: Backup | Restore) -> tuple[str, str, str]:
    """The condition that holds, its reason and its message."""
    word, error = state_of(operation), operation.error
    text = error.message if error else ""
    if isinstance(operation, Backup) and operation.state in (State.DAMAGED, State.CORRUPT):
        text = text or "; ".join(operation.damage) or f"the backup is {word.value}"
    if word in _UNFINISHED:
        return PROGRESSING, operation.state.value, text
    if operation.state is State.DELETED:
        return COMPLETE, "DELETED", "it was committed, and the backup is deleted now"
    if word in _HOLDS:
        return COMPLETE, operation.state.value, text
    return FAILED, error.reason if error else operation.state.value, text


def differs(status: Fields, wanted: Fields) -> bool:
    """Whether a patch of `wanted` changes `status`."""
    return any(status.get(key) != value for key, value in wanted.items())
