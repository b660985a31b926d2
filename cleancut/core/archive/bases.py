"""Bases of the archive: backups that a chain's entries continue. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cleancut.core.archive.plan import ArchivePlan, ArchiveState, FollowedShard, Place
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.ids import Epoch, PeerId
from cleancut.core.primitives.timestamps import parse_time

ASK_AGAIN_S = 600.0
"""A base of the same chains is not asked for again within this."""
ASK_NEXT_S = 60.0
"""Nor any base of the same collection within this."""


@dataclass(frozen=True, slots=True)
class BaseShard:
    """One shard of a backup: with its log from `first` on, and all up to `end`, it is what it was.
    `doubt`: why that is not proven; "" if it is."""

    chain: str
    first: int
    end: int
    doubt: str = ""


class ShardBase(NamedTuple):
    """A shard of a backup, and the chain whose entries from `first` on continue it."""

    epoch: Epoch
    cut_s: float
    place: Place
    peer: PeerId
    chain: str
    first: int


def base_shard(entry: ShardEntry) -> BaseShard:
    if entry.last_entry >= 0 and entry.standstill is not None:
        return BaseShard(entry.chain, entry.standstill.first, entry.last_entry, entry.own_doubt)
    number = entry.second.number
    if number is None:
        return BaseShard(entry.chain, 0, -1, entry.own_doubt or "its number is unknown")
    return BaseShard(entry.chain, number + 1, number, entry.own_doubt)


def first_entry(entry: ShardEntry) -> int | None:
    """The first entry of its chain that a restore of this shard to a later moment needs; None: it
    is not the base of any chain."""
    shard = base_shard(entry)
    return shard.first if shard.chain and not shard.doubt else None


def bases_of(manifest: Manifest) -> tuple[ShardBase, ...]:
    """Raises: Corrupt, for an invalid time."""
    cut_s = parse_time(manifest.cut_at)
    found = []
    for entry in manifest.shards:
        first = first_entry(entry)
        if first is not None:
            place = entry.collection, entry.shard_id
            found.append(ShardBase(manifest.epoch, cut_s, place, entry.peer_id, entry.chain, first))
    return tuple(found)


def newest_peers(bases: Iterable[ShardBase]) -> dict[Place, PeerId]:
    """By shard, the peer of its newest base."""
    return {base.place: base.peer for base in sorted(bases, key=lambda base: base.epoch)}


def without_base(
    plan: ArchivePlan, states: Iterable[ArchiveState], bases: Iterable[ShardBase]
) -> list[FollowedShard]:
    """The shards that are followed as planned, and of whose chain there is no base: nothing of it
    can be restored until there is one. What an agent followed that was replaced does not count."""
    known = {(base.place, base.chain) for base in bases}
    planned = {(task.agent, task.place) for task in plan.tasks}
    found = [
        shard for state in states for shard in state.shards if (state.agent, shard.place) in planned
    ]
    return [shard for shard in found if (shard.place, shard.chain) not in known]


class Asked(NamedTuple):
    """When a base of a collection was asked for, and the chains that it was to continue."""

    at_s: float
    chains: frozenset[str] = frozenset()


def due_bases(
    lacking: Iterable[FollowedShard], asked: Mapping[str, Asked], now_s: float
) -> dict[str, Asked]:
    """By collection, the bases to be asked for now. `asked`: those that were; a chain that began
    since does not wait for the next turn of the others."""
    chains: dict[str, set[str]] = {}
    for shard in lacking:
        chains.setdefault(shard.collection, set()).add(shard.chain)
    due = {}
    for name, found in sorted(chains.items()):
        before = asked.get(name, Asked(float("-inf")))
        pause_s = ASK_AGAIN_S if found <= before.chains else ASK_NEXT_S
        if now_s - before.at_s >= pause_s:
            due[name] = Asked(now_s, frozenset(found))
    return due
