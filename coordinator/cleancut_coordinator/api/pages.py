"""Pages of a list, newest first: a page begins after the last entry of the one before.

What begins or ends between two pages moves no entry: none is repeated, none is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from cleancut.api.interface import PageRequest
from cleancut.core.format.story import Story, place
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Operation
from cleancut.repository.history import StoredStory


class OldBackup(NamedTuple):
    """A backup of the history that was not committed. `epoch`: of its newest attempt, or of the one
    before it in time."""

    epoch: Epoch
    story: Story


T = TypeVar("T", bound=Operation | StoredStory | OldBackup | Epoch)


def cut_page(entries: Sequence[T], page: PageRequest) -> tuple[Sequence[T], str]:
    """The entries of this page, and the token of the next one, "" after the last.

    Order: `entries` come newest first: operations, then epochs of the catalog.
    """
    rest = [one for one in entries if not page.token or position(one) < page.token]
    chosen = rest[: page.size]
    return chosen, position(chosen[-1]) if len(rest) > page.size else ""


def position(entry: Operation | StoredStory | OldBackup | Epoch) -> str:
    """Greater for a newer one; an epoch of the catalog comes after all operations that etcd holds,
    and older backups among those."""
    if isinstance(entry, OldBackup):
        return f"{entry.epoch:012d}-{entry.story.position}"
    if isinstance(entry, StoredStory):
        return entry.name.position
    if isinstance(entry, Operation):
        return place(entry.created_at, entry.id)
    return f"{entry:012d}"
