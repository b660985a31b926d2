"""What differs between the points of two backups."""

from __future__ import annotations

from cleancut.api.values import ApiValue, Time


class DiffSide(ApiValue, frozen=True):
    """One of the two backups; or what is live (`epoch` 0), and when it began to be read."""

    id: str
    epoch: int
    cut_at: Time


class DiffPoint(ApiValue, frozen=True):
    """A point that differs; `change`: added, removed, vector, payload, or `vector and payload`."""

    change: str
    id: int | str
    shard_key: str | int | None = None


class CollectionDiff(ApiValue, frozen=True):
    """A collection in two backups. `change`: added or removed, if one lacks it; "": both have it.
    `changed`: points whose vectors or payload differ; `changed_vectors` and `changed_payloads`: of
    these, whose. `unchanged`: points that were compared, or lie in `equal_shards`, which are the
    same data; None, if how many lie in these is not known. `points`: those that differ, if they
    were asked for."""

    collection: str
    change: str = ""
    added: int = 0
    removed: int = 0
    changed: int = 0
    changed_vectors: int = 0
    changed_payloads: int = 0
    unchanged: int | None = 0
    shards: int = 0
    equal_shards: int = 0
    config_differs: bool = False
    points: tuple[DiffPoint, ...] = ()


class Diff(ApiValue, frozen=True):
    """From `before` to `after`. The sums are over all collections. `equal`: no point, collection or
    configuration of vectors differs."""

    before: DiffSide
    after: DiffSide
    equal: bool
    added: int = 0
    removed: int = 0
    changed: int = 0
    unchanged: int | None = 0
    collections: tuple[CollectionDiff, ...] = ()
    took_s: float = 0.0
