"""What a drill found: shards of a group opened without a server, counted and searched."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class DrilledShard(ApiValue, frozen=True):
    """One shard that was put together and opened. `expected`: the points it was proven to hold when
    it was cut; None if that is not proven. `recall`: how many of the exact nearest neighbours of
    some of its own points its index finds, from 0 to 1; None without vectors. `problems`: for
    people."""

    collection: str
    shard_id: int
    size_bytes: int = 0
    points: int | None = None
    expected: int | None = None
    recall: float | None = None
    problems: tuple[str, ...] = ()


class Drill(ApiValue, frozen=True):
    """A backup opens, and answers as it did, if there are no `problems` and nothing is
    `damaged`. `sample_queries`: answers from inside the cut that could be compared;
    `sample_queries_equal`: of these, those that were given again.
    `warnings`: those that were not, which alone prove no damage."""

    id: str
    epoch: int
    shards: tuple[DrilledShard, ...] = ()
    shards_in_backup: int = 0
    read_bytes: int = 0
    sample_queries: int = 0
    sample_queries_equal: int = 0
    recall: float | None = None
    took_s: float = 0.0
    problems: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
