"""Reads what was written when from the archive: the log of one collection, as operations."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from cleancut.core.archive.records import Chain, ChainEnd, Look
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import NotFound
from cleancut.core.wal.operations import Operation, decode_operation
from cleancut.ports.store import Store
from cleancut.repository.archive.reader import AROUND_MS, ArchiveIndex, read_chains, read_ends


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of a chain. `at_ms`: of the first look that shows it."""

    at_ms: int
    chain: Chain
    index: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which operations of a collection are wanted: the newest `limit` of those that fit."""

    collection: str
    since_ms: int
    until_ms: int
    kinds: Collection[str] = ()
    grep: str = ""
    limit: int = 100

    def takes(self, operation: Operation) -> bool:
        kind = not self.kinds or operation.kind in self.kinds
        return kind and (not self.grep or self.grep in _text(operation))


async def read_log(
    store: Store, paths: Paths, wanted: LogFilter
) -> tuple[tuple[LoggedEntry, ...], bool]:
    """The entries in the order of time, and whether there are older ones that fit too.

    Limits: entries that fit are held, `limit` of them; all others are read and forgotten.
    Raises: NotFound, if no log of the collection is archived; Corrupt; errors of the store.
    """
    chains, ends = await read_chains(store, paths), await read_ends(store, paths)
    mine = {id: one for id, one in chains.items() if one.collection == wanted.collection}
    if not mine:
        raise NotFound(
            f"no log of {wanted.collection!r} is archived",
            "archive it: `[archive] collections` in the coordinator's settings",
        )
    live = [one for one in mine.values() if _lived(one, ends.get(one.id), wanted)]
    index = await ArchiveIndex.load(
        store,
        paths,
        chains=[one.id for one in live],
        since_ms=wanted.since_ms - AROUND_MS,
        until_ms=wanted.until_ms + AROUND_MS,
    )
    newest = _Newest(wanted.limit)
    for chain in sorted(live, key=lambda one: (one.shard, one.created_at_ms)):
        async with aclosing(_entries(index, chain, wanted)) as entries:  # type: ignore[type-var]
            async for entry in entries:
                newest.add(entry)
    return newest.sorted(), newest.dropped


def _lived(chain: Chain, end: ChainEnd | None, wanted: LogFilter) -> bool:
    begun = chain.created_at_ms <= wanted.until_ms
    return begun and (end is None or end.at_ms >= wanted.since_ms - AROUND_MS)


class _Newest:
    """The newest entries of all that are added."""

    def __init__(self, limit: int) -> None:
        self._limit, self._heap = limit, list[tuple[int, int, int, str, LoggedEntry]]()
        self.dropped = False

    def add(self, entry: LoggedEntry) -> None:
        row = entry.at_ms, entry.chain.shard, entry.index, entry.chain.id, entry
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, row)
            return
        self.dropped = True
        heapq.heappushpop(self._heap, row)

    def sorted(self) -> tuple[LoggedEntry, ...]:
        return tuple(row[-1] for row in sorted(self._heap, key=lambda row: row[:-1]))


async def _entries(
    index: ArchiveIndex, chain: Chain, wanted: LogFilter
) -> AsyncIterator[LoggedEntry]:
    """The entries of one chain that fit, with their times."""
    looks = index.looks(chain.id)
    before = [look.last for look in looks if look.at_ms < wanted.since_ms]
    within = [look for look in looks if wanted.since_ms <= look.at_ms <= wanted.until_ms]
    if not within:
        return
    time_of = _times(within)
    for start, end in index.ranges(chain.id):
        span = max([start, *(one + 1 for one in before)]), min(end, within[-1].last)
        if span[1] < span[0]:
            continue
        async with aclosing(index.entries(chain.id, *span)) as entries:  # type: ignore[type-var]
            async for entry in entries:
                operation = decode_operation(entry.data)
                if wanted.takes(operation):
                    yield LoggedEntry(time_of(entry.index), chain, entry.index, operation)


def _times(looks: list[Look]) -> Callable[[int], int]:
    """Gives the time of each entry. Order: it is asked for rising indexes."""
    at = 0

    def time_of(index: int) -> int:
        nonlocal at
        while at + 1 < len(looks) and looks[at].last < index:
            at += 1
        return looks[at].at_ms

    return time_of


def _text(operation: Operation) -> str:
    """What --grep looks at."""
    condition = msgspec.json.encode(operation.filter).decode() if operation.filter else ""
    return " ".join([*map(str, operation.ids), *operation.keys, condition])
