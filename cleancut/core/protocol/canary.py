"""Canaries: recorded questions to a collection and the answers that were read in the cut."""

from __future__ import annotations

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch


class Question(Record, frozen=True):
    """A question to ask inside the cut: the points nearest to the vector `vector` of point `query`.
    `replicated`: all replicas of a shard have to agree."""

    collection: str
    vector: str
    query: str | int
    replicated: bool = False


class Canary(Record, frozen=True):
    """One exact search of the whole collection, answered inside the cut: the nearest `ids`, with
    their `scores`, to the vector that point `query` holds. `vector` "": the one without a name."""

    collection: str
    vector: str
    query: str | int
    ids: tuple[str | int, ...]
    scores: tuple[float, ...]


class Canaries(Record, frozen=True):
    """The answers that the coordinator read inside the cut, staged as a document of the epoch."""

    epoch: Epoch
    canaries: tuple[Canary, ...]
