"""Canaries: recorded questions to a collection and the answers that were read in the cut."""

from __future__ import annotations

from typing import Any

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch


class Question(Record, frozen=True):
    """What is to be asked inside the cut: the points nearest to `target`, about the value that
    point `query` has as `vector`, among those under `shard_key` (None: among all).
    `replicated`: all replicas of a shard have to agree.
    Shape: of `target` as in Qdrant's API: a list, a list of lists, or indices and values.
    """

    collection: str
    vector: str
    query: str | int
    target: Any = None
    shard_key: str | int | None = None
    replicated: bool = False


class Canary(Record, frozen=True):
    """One exact search, answered inside the cut: the nearest `ids` to the `target` of its
    question, with their `scores`. `vector` "": the one without a name. An id may be in several
    shard keys, so the search is by the vector itself; without a `target` it is not repeated."""

    collection: str
    vector: str
    query: str | int
    ids: tuple[str | int, ...]
    scores: tuple[float, ...]
    target: Any = None
    shard_key: str | int | None = None


class Canaries(Record, frozen=True):
    """The answers that the coordinator read inside the cut, staged as a document of the epoch."""

    epoch: Epoch
    canaries: tuple[Canary, ...]
