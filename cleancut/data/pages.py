"""Pages of a shard's points, in the order of their ids, each of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cleancut.core.points.selection import PointId, Selection
from cleancut.engine.shard import EngineShard

FIRST_POINTS = 64
MOST_POINTS = 2_000
IDS_AT_ONCE = 1_000
PAGE_BYTES = 8 << 20


class PageSize:
    """How many points the next page has, so that it takes about `PAGE_BYTES` when written."""

    def __init__(self) -> None:
        self.points = FIRST_POINTS

    def wrote(self, points: int, size_bytes: int) -> None:
        """A page of `points` took `size_bytes`."""
        fitting = PAGE_BYTES * points // max(1, size_bytes)
        self.points = max(1, min(fitting, 4 * self.points, MOST_POINTS))


def pages(
    shard: EngineShard, selection: Selection, size: PageSize, *, vectors: bool, payload: bool = True
) -> Iterator[list[Any]]:
    """The engine's records of the selected points, by id. Raises: Corrupt."""
    for condition in _conditions(selection):
        after = None
        while True:
            records, after = shard.page(
                after, size.points, condition=condition, payload=payload, vectors=vectors
            )
            if records:
                yield records
            if after is None:
                break


def _conditions(selection: Selection) -> Iterator[Any]:
    """The engine's filters that give the selected points, one after the other, by id."""
    if selection.is_all:
        yield None
        return
    from cleancut.engine.filters import of_ids, to_filter

    if selection.ids is None:
        yield to_filter(selection.filter)
        return
    for ids in _groups(selection.ids):
        yield of_ids(ids, selection.filter)


def _groups(ids: Sequence[PointId]) -> Iterator[Sequence[PointId]]:
    for at in range(0, len(ids), IDS_AT_ONCE):
        yield ids[at : at + IDS_AT_ONCE]
