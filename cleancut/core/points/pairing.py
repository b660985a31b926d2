"""Pairing of shards: which shards of two backups hold the same ids, and which need no look.

A point's shard follows from the shard ids of its key alone. So with the same shard ids, shards are
compared one with one, and those with one recipe are equal; else all shards of the key are compared
with all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cleancut.core.format.manifest import ShardEntry


class Pair(NamedTuple):
    """Shards that are to be compared with each other: `before` of one backup, `after` of another.
    `equal`: they are the same data."""

    shard_key: str | int | None
    before: tuple[ShardEntry, ...]
    after: tuple[ShardEntry, ...]
    equal: bool = False


def pairs_of(before: Sequence[ShardEntry], after: Sequence[ShardEntry]) -> list[Pair]:
    """The pairs of two backups of one collection; a shard is in exactly one."""
    keys = dict.fromkeys(one.shard_key for one in (*before, *after))
    return [
        pair
        for key in keys
        for pair in _pairs_of_key(
            key,
            {one.shard_id: one for one in before if one.shard_key == key},
            {one.shard_id: one for one in after if one.shard_key == key},
        )
    ]


def _pairs_of_key(
    key: str | int | None, before: dict[int, ShardEntry], after: dict[int, ShardEntry]
) -> list[Pair]:
    if set(before) != set(after):
        return [Pair(key, tuple(before.values()), tuple(after.values()))]
    return [
        Pair(key, (before[at],), (after[at],), before[at].recipe == after[at].recipe)
        for at in sorted(before)
    ]
