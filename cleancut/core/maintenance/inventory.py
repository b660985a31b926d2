"""Inventory of a catalog: the age, size and proof of its newest good groups.

Pure: the caller reads the backups and their verification log from a store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from sys import intern
from typing import NamedTuple

from cleancut.core.format.manifest import Manifest, recipes_of
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.evidence import Consistency

USUAL_OF = 7
"""Number of groups before the newest that define what is usual."""


class GroupSummary(NamedTuple):
    """The facts of one group that are kept in memory. `schedule`: "" for a manual one.
    `stored_bytes`: added to the store. `skew_s` is negative if it was not measured. `missing`:
    collections of a partial backup that it does not hold. `aliases`: the collection behind each."""

    epoch: Epoch
    schedule: str
    cut_at_s: float
    consistency: Consistency
    fenced: bool
    skew_s: float
    size_bytes: int
    stored_bytes: int
    collections: frozenset[str]
    recipes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}


class Newest(NamedTuple):
    """The newest good group of a schedule, and the usual size and rank of consistency of those
    before; None: no others."""

    group: GroupSummary
    usual_size_bytes: float | None
    usual_rank: float | None = None


class Inventory(NamedTuple):
    """`corrupt`: groups that cannot be read, or that were last found damaged. `schedules` and
    `collections` (when the newest was cut) know only good ones. `damaged`: why, by epoch.
    `size_bytes`: of all good groups, as full copies. `sizes`: of each collection in the newest
    group that holds it, as far as the reader knows. `unverified`: see `unverified`."""

    good: int
    corrupt: int
    schedules: Mapping[str, Newest]
    collections: Mapping[str, float]
    damaged: Mapping[Epoch, str] = {}
    size_bytes: int = 0
    sizes: Mapping[str, int] = {}
    unverified: Mapping[str, Epoch] = {}


def summary_of(manifest: Manifest) -> GroupSummary:
    """Raises: Corrupt, for an invalid time."""
    return GroupSummary(
        epoch=manifest.epoch,
        schedule=manifest.schedule,
        cut_at_s=parse_time(manifest.cut_at),
        consistency=manifest.consistency,
        fenced=manifest.fenced,
        skew_s=manifest.skew_ms / 1000,
        size_bytes=sum(shard.size_bytes for shard in manifest.shards),
        stored_bytes=sum(shard.stored_bytes for shard in manifest.shards),
        collections=frozenset(entry.name for entry in manifest.collections),
        recipes=tuple(map(intern, recipes_of(manifest))),
        missing=tuple(sorted(entry.name for entry in manifest.missing)),
        aliases=manifest.aliases,
    )


def take_inventory(
    groups: Iterable[GroupSummary], unreadable: int, damaged: Collection[Epoch]
) -> Inventory:
    """`damaged`: the epochs that are known to be damaged. An imported group makes no schedule or
    collection newer."""
    known = sorted(groups, key=lambda one: one.epoch)
    good = [one for one in known if one.epoch not in damaged]
    by_schedule: dict[str, list[GroupSummary]] = {}
    collections: dict[str, float] = {}
    for one in (one for one in good if one.consistency is not Consistency.IMPORTED):
        by_schedule.setdefault(one.schedule, []).append(one)
        collections.update(dict.fromkeys(one.collections, one.cut_at_s))
    return Inventory(
        good=len(good),
        corrupt=len(known) - len(good) + unreadable,
        schedules={name: _newest(ordered) for name, ordered in by_schedule.items()},
        collections=collections,
        size_bytes=sum(one.size_bytes for one in good),
    )


def sizes_of(manifest: Manifest) -> dict[str, int]:
    """The bytes of each collection's shards."""
    sizes: dict[str, int] = {}
    for shard in manifest.shards:
        sizes[shard.collection] = sizes.get(shard.collection, 0) + shard.size_bytes
    return sizes


def partial_backups(stock: Inventory) -> tuple[tuple[Epoch, tuple[str, ...]], ...]:
    """Of the newest good backup of each schedule, the collections that it could not hold and that
    no later one holds; oldest first, without those that lack nothing."""
    found = []
    for newest in stock.schedules.values():
        one, held = newest.group, stock.collections
        left = tuple(name for name in one.missing if held.get(name, 0.0) <= one.cut_at_s)
        if left:
            found.append((one.epoch, left))
    return tuple(sorted(found))


def unverified(
    groups: Iterable[GroupSummary], verified: Collection[Epoch], newest_s: float
) -> dict[str, Epoch]:
    """Schedules of which no group that is there was ever verified or drilled, though there was one
    at the newest check, which was of another: each with its newest group. `newest_s`: of all checks
    that read data and found nothing wrong."""
    of_each: dict[str, list[GroupSummary]] = {}
    for one in groups:
        if one.schedule and one.consistency is not Consistency.IMPORTED:
            of_each.setdefault(one.schedule, []).append(one)
    return {
        name: max(one.epoch for one in mine)
        for name, mine in sorted(of_each.items())
        if not any(one.epoch in verified for one in mine)
        and any(one.cut_at_s < newest_s for one in mine)
    }


def _newest(ordered: Sequence[GroupSummary]) -> Newest:
    *before, last = (one for one in ordered[-USUAL_OF - 1 :])
    sizes = [one.size_bytes for one in before]
    ranks = [rank_of(one.consistency, fenced=one.fenced) for one in before]
    return Newest(last, median(sizes) if sizes else None, median(ranks) if ranks else None)


def rank_of(consistency: Consistency, *, fenced: bool) -> int:
    """As the metric shows it: 1 per-shard, 2 point-in-time, 3 point-in-time with a fence."""
    if consistency is not Consistency.POINT_IN_TIME:
        return 1
    return 3 if fenced else 2
