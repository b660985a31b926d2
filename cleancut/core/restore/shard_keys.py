"""Custom shard keys with the shard ids that they had: a sequence of keys to create. Pure.

Qdrant gives a new key the ids after the greatest live one, from 1 on. In a key of several shards
the ids decide where points live, so gaps that deleted keys have left are filled by keys that are
deleted again at the end.
Source: lib/collection/src/collection/sharding_keys.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import ShardId

Key = str | int
Keys = Sequence[tuple[Key, tuple[ShardId, ...]]]

FIRST_ID = 1
_FILLER = "cleancut-filler"


class KeyStep(Record, frozen=True):
    """A key to create with `shards` shards, the first of which gets the id `first`."""

    key: Key
    first: ShardId
    shards: int
    filler: bool = False

    @property
    def ids(self) -> tuple[ShardId, ...]:
        return tuple(ShardId(self.first + number) for number in range(self.shards))


def steps(shard_keys: Keys) -> tuple[KeyStep, ...]:
    """The keys to create, in this order, one at a time.

    Raises: Refused, if ids cannot come out as they were.
    """
    names = {key for key, _ in shard_keys}
    made: list[KeyStep] = []
    following = FIRST_ID
    for key, ids in sorted(shard_keys, key=lambda entry: min(entry[1], default=0)):
        if not ids or ids != tuple(range(ids[0], ids[0] + len(ids))) or ids[0] < following:
            raise Refused(
                f"the shards {list(ids)} of key {key!r} are not one block of free ids, so Qdrant"
                " cannot create them again",
                "insert the points of this collection again",
            )
        if ids[0] > following:
            name = _filler_name(following, names)
            size = ids[0] - following
            made.append(KeyStep(key=name, first=ShardId(following), shards=size, filler=True))
        made.append(KeyStep(key=key, first=ids[0], shards=len(ids)))
        following = ids[-1] + 1
    return tuple(made)


def _filler_name(first: int, names: set[Key]) -> str:
    """A name that is deterministic, so that a successor knows it, and different from real keys."""
    name = f"{_FILLER}-{first}"
    while name in names:
        name += "-"
    return name


def still_to_create(plan: Sequence[KeyStep], there: Mapping[Key, Sequence[int]]) -> list[KeyStep]:
    """The rest of `plan`, where some of its keys may exist already.

    Raises: Refused, if a key has wrong ids or is not in the plan.
    """
    known = {step.key: step for step in plan}
    for key, ids in there.items():
        if key not in known:
            raise Refused(f"shard key {key!r} is not part of this restore", "restore again")
        check_ids(known[key], ids)
    if all(step.key in there for step in plan if not step.filler):
        return []
    return [step for step in plan if step.key not in there]


def check_ids(step: KeyStep, ids: Sequence[int]) -> None:
    """Raises: Refused, unless `ids` are those of `step`."""
    if tuple(sorted(ids)) != step.ids:
        raise Refused(
            f"shard key {step.key!r} got the shards {sorted(ids)} and not {list(step.ids)}, which"
            " decide where its points live",
            "keep others from creating shard keys, and restore again",
        )


def fillers_there(plan: Sequence[KeyStep], there: Mapping[Key, Sequence[int]]) -> list[Key]:
    """The keys to delete at the end."""
    return [step.key for step in plan if step.filler and step.key in there]
