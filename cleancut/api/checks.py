"""What checks of a backup found: a verification's verdict, and a drill."""

from __future__ import annotations

from cleancut.api.backups import Evidence
from cleancut.api.values import ApiValue
from cleancut.core.verification.damage import Level


class Verdict(ApiValue, frozen=True):
    """`problems`: what contradicts the manifest. `missing`: what it names and the store does not
    have whole, or holds damaged. `read_bytes`: of its `size_bytes`, those that were read again and
    compared. `level`: presence | part | all."""

    id: str
    epoch: int
    evidence: Evidence
    shards: int = 0
    objects: int = 0
    read_bytes: int = 0
    size_bytes: int = 0
    level: str = Level.PRESENCE
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What follows from what was read."""
        if self.problems or self.missing:
            return "damaged"
        if self.level == Level.PRESENCE:
            return "present, not read"
        return "intact" if self.level == Level.ALL else "intact as far as it was read"


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
