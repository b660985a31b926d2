"""Pages of a list, newest first: a page begins after the last entry of the one before.

What begins or ends between two pages moves no entry: none is repeated, none is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cleancut.api.interface import PageRequest
from cleancut.core.format.story import place
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Operation
from cleancut.repository.history import StoredStory

T = TypeVar("T", Operation, Epoch, Operation | Epoch, Operation | StoredStory)


def cut_page(entries: Sequence[T], page: PageRequest) -> tuple[Sequence[T], str]:
    """The entries of this page, and the token of the next one, "" after the last.

    Order: `entries` come newest first: operations, then epochs of the catalog.
    """
    rest = [one for one in entries if not page.token or position(one) < page.token]
    chosen = rest[: page.size]
    return chosen, position(chosen[-1]) if len(rest) > page.size else ""


def position(entry: Operation | StoredStory | Epoch) -> str:
    """Greater for a newer one; an epoch of the catalog comes after all operations."""
    if isinstance(entry, StoredStory):
        return entry.name.position
    if isinstance(entry, Operation):
        return place(entry.created_at, entry.id)
    return f"{entry:012d}"
