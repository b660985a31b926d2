"""Views of the archive for a restore: backups on which logs can be replayed, and the logs there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cleancut.core.archive.bases import BaseShard, base_shard
from cleancut.core.archive.plan import Place
from cleancut.core.archive.records import Chain, ChainEnd, Look, Mark
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time


@dataclass(frozen=True, slots=True)
class Base:
    """A backup on which logs can be replayed. `damage`: what is known to be wrong with it."""

    epoch: Epoch
    cut_ms: int
    shards: Mapping[Place, BaseShard]
    damage: str = ""

    @property
    def collections(self) -> tuple[str, ...]:
        return tuple(sorted({collection for collection, _ in self.shards}))

    @property
    def archived(self) -> tuple[str, ...]:
        """The collections all of whose shards were followed by a chain when it was made."""
        lacking = {name for (name, _), shard in self.shards.items() if not shard.chain}
        return tuple(name for name in self.collections if name not in lacking)


@dataclass(frozen=True, slots=True)
class ChainView:
    """A chain and what the archive holds of it. `ranges`: the first and last entry of each part
    without a gap, in order. `size_bytes`: of a range of entries. `damage`: of a chunk, if some
    cannot be used.
    """

    chain: Chain
    end: ChainEnd | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    looks: tuple[Look, ...] = ()
    size_bytes: Callable[[int, int], int] = lambda first, last: 0
    damage: str = ""

    def reach(self, first: int) -> int:
        """The last entry that is there without a gap from `first` on; `first` - 1: not even it."""
        for start, end in self.ranges:
            if start <= first <= end:
                return end
        return first - 1


@dataclass(frozen=True, slots=True)
class Archive:
    """What is known of logs: of chunks that were made in some time. Shape: chains by their id."""

    chains: Mapping[str, ChainView]
    marks: tuple[Mark, ...] = ()
    since_ms: int = 0
    until_ms: int = 0

    def looks(self, chain: str) -> list[Look]:
        """All looks at a chain's log in the order of time: those of its agent, and the marks'.

        Clocks may differ by little, and a log only grows: none shows less than one before it.
        """
        found = list(self.chains[chain].looks) if chain in self.chains else []
        found += [
            Look(at_ms=mark.at_ms, last=end.last)
            for mark in self.marks
            for end in mark.ends
            if end.chain == chain
        ]
        found.sort(key=lambda look: (look.at_ms, look.last))
        lasts = accumulate((look.last for look in found), max)
        return [Look(at_ms=look.at_ms, last=last) for look, last in zip(found, lasts, strict=True)]


def ended(chain: Chain, end: ChainEnd | None, chains: Collection[Chain]) -> ChainEnd | None:
    """How a chain ended; None: it goes on. `end`: as its agent says, which may be long after
    another one began to follow the shard, and never if the agent was lost with its peer."""
    began = [
        (one.created_at_ms, one.reason)
        for one in chains
        if (one.collection, one.shard) == (chain.collection, chain.shard)
        and one.created_at_ms > chain.created_at_ms
    ]
    if not began:
        return end
    at_ms, reason = min(began)
    if end is not None and end.at_ms <= at_ms:
        return end
    reason = reason or "another replica is followed since"
    return ChainEnd(chain=chain.id, last=end.last if end else -1, at_ms=at_ms, reason=reason)


def steady(looks: Iterable[Look]) -> list[Look]:
    """The most of these looks whose times rise with their entries: while a clock was wrong for a
    moment, its agent saw entries at times that say nothing. The last entry is always seen."""
    ordered = sorted(looks, key=lambda look: (look.last, look.at_ms))
    times, ends, before = list[int](), list[int](), list[int]()
    for at, look in enumerate(ordered):
        length = bisect_right(times, look.at_ms)
        before.append(ends[length - 1] if length else -1)
        times[length : length + 1] = [look.at_ms]
        ends[length : length + 1] = [at]
    found, at = list[Look](), ends[-1] if ends else -1
    while at >= 0:
        found.append(ordered[at])
        at = before[at]
    if found and found[0].last < ordered[-1].last:
        found.insert(0, Look(at_ms=found[0].at_ms, last=ordered[-1].last))
    return found[::-1]


def steady_marks(marks: Sequence[Mark], chains: Collection[str]) -> tuple[Mark, ...]:
    """The marks whose times rise with what these chains held: the clock of a leader may have been
    wrong for a moment. Those that are not of all these chains stay."""
    seen = dict[int, Look]()
    for number, mark in enumerate(marks):
        ends = {end.chain: end.last for end in mark.ends}
        if ends.keys() >= set(chains):
            last = sum(ends[chain] for chain in set(chains))
            seen[number] = Look(at_ms=mark.at_ms, last=last)
    kept = set(steady(seen.values()))
    return tuple(one for n, one in enumerate(marks) if n not in seen or seen[n] in kept)


def base_of(manifest: Manifest, damage: str = "") -> Base:
    """The base that a backup is."""
    return Base(
        epoch=manifest.epoch,
        cut_ms=round(parse_time(manifest.cut_at) * 1000),
        shards={(s.collection, s.shard_id): base_shard(s) for s in manifest.shards},
        damage=damage,
    )
