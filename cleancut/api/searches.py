"""Answer of a search in a backup."""

from __future__ import annotations

from typing import Any

from cleancut.api.values import ApiValue


class SearchHit(ApiValue, frozen=True):
    """A point of the backup, and its score as Qdrant gives it."""

    id: int | str
    score: float
    payload: dict[str, Any]
    shard_key: str | int | None = None


class SearchAnswer(ApiValue, frozen=True):
    """The `hits`, best first. `exact`: of all points, by their original vectors; else by the
    indexes in the backup."""

    id: str
    epoch: int
    collection: str
    using: str
    exact: bool
    hits: tuple[SearchHit, ...] = ()
    took_s: float = 0.0
