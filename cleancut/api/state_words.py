"""State words, and names of operations: the one table for tables, progress lines and pages.

The API and `-o json` keep the protocol's states, such as COMMITTED.
"""

from __future__ import annotations

from enum import StrEnum

from cleancut.api.backups import Backup
from cleancut.api.operations import Operation
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State
from cleancut.core.protocol.votes import CANCELLED


class Word(StrEnum):
    OK = "ok"
    PARTIAL = "partial"
    PENDING = "pending"
    RUNNING = "running"
    ABORTED = "aborted"
    CANCELED = "canceled"
    FAILED = "failed"
    DELETING = "deleting"
    NEEDS_OPERATOR = "needs operator"
    DAMAGED = "damaged"
    CORRUPT = "corrupt"
    IMPORTED = "imported"


_WORDS = {
    State.PENDING: Word.PENDING,
    State.PLANNED: Word.PENDING,
    State.COMMITTED: Word.OK,
    State.SEEDED: Word.OK,
    State.DONE: Word.OK,
    State.ABORTED: Word.ABORTED,
    State.FAILED: Word.FAILED,
    State.CANCELED: Word.CANCELED,
    State.ROLLED_BACK: Word.ABORTED,
    State.DELETED: Word.DELETING,
    State.NEEDS_OPERATOR: Word.NEEDS_OPERATOR,
    State.DAMAGED: Word.DAMAGED,
    State.CORRUPT: Word.CORRUPT,
}


def word_of(state: State) -> Word:
    """Every state that is not in the table is a step of a running operation."""
    return _WORDS.get(state, Word.RUNNING)


def state_of(operation: Operation) -> Word:
    """The word for lists and tables."""
    word = word_of(operation.state)
    error = operation.error
    if word is Word.ABORTED and error is not None and error.reason == CANCELLED.reason:
        return Word.CANCELED
    if word is Word.OK and isinstance(operation, Backup) and operation.missing:
        return Word.PARTIAL
    evidence = operation.evidence if isinstance(operation, Backup) else None
    if word is Word.OK and evidence and evidence.consistency is Consistency.IMPORTED:
        return Word.IMPORTED
    return word


def step_of(operation: Operation) -> str:
    """The word, and in brackets what a running operation does: `running (uploading)`."""
    word = state_of(operation)
    if word is not Word.RUNNING:
        return word
    return f"{word} ({operation.state.lower().replace('_', ' ')})"


def title_of(operation: Operation) -> str:
    """`#17` for a backup that has a number, else the id."""
    number = operation.epoch if isinstance(operation, Backup) else 0
    return f"#{number}" if number else operation.id
