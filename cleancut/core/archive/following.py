"""Following of a shard's log for the archive: when a chunk is cut, what continues a chain. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cleancut.core.archive.plan import FollowedShard
from cleancut.core.archive.records import ChunkPart, Look
from cleancut.core.wal.tail import Cause, Position, WalEntry

CHUNK_BYTES = 4 << 20
"""As soon as this much waits, it is stored."""
MOST_CHUNK_BYTES = 16 << 20
"""More wait for the next chunk, but for one log alone that has more."""
HELD_BYTES = 64 << 20
"""The most that waits in memory to be stored; no log is read beyond it."""
AWAY_S = 60.0
"""How long the store may take nothing while that much waits; then the chains end."""
STORE_AWAY = "store_away"
RESTARTED = "restarted"
REPLANNED = "replanned"
UNREADABLE = "unreadable"
REASONS = (*sorted(cause.value for cause in Cause), RESTARTED, REPLANNED, STORE_AWAY, UNREADABLE)
"""Why chains end, as metrics name it."""


@dataclass(slots=True)
class Buffer:
    """Entries of one chain that were read and are in no chunk yet. `since_ms`: when the oldest one
    was read; 0: there is none."""

    entries: list[WalEntry] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    size_bytes: int = 0
    since_ms: int = 0

    def add(self, entries: Sequence[WalEntry], at_ms: int) -> None:
        if not entries:
            return
        self.entries += entries
        self.size_bytes += sum(len(entry.data) for entry in entries)
        self.looks.append(Look(at_ms=at_ms, last=entries[-1].index))
        self.since_ms = self.since_ms or at_ms

    def take(self, shard: FollowedShard, position: Position | None) -> ChunkPart:
        """The part of a chunk that holds all of it, and nothing is left. Order: not when empty."""
        part = ChunkPart(
            chain=shard.chain,
            collection=shard.collection,
            shard=shard.shard,
            first=self.entries[0].index,
            last=self.entries[-1].index,
            lengths=tuple(len(entry.data) for entry in self.entries),
            looks=tuple(self.looks),
            position=position,
        )
        self.entries, self.looks, self.size_bytes, self.since_ms = [], [], 0, 0
        return part


def cut_due(buffers: Sequence[Buffer], now_ms: int, chunk_s: float) -> bool:
    """Whether what waits is to be stored now; never while nothing waits."""
    waiting = [one.since_ms for one in buffers if one.since_ms]
    if not waiting:
        return False
    size = sum(one.size_bytes for one in buffers)
    return size >= CHUNK_BYTES or now_ms - min(waiting) >= chunk_s * 1000


def why_not_continued(known: FollowedShard, log: str) -> str:
    """Why the log that is there now cannot be that of the chain `known`; "": it may be."""
    if known.log != log:
        return "another log is in its place"
    if known.last >= 0 and known.position is None:
        return "where it was read up to is not known"
    return ""


def end_of(cause: Cause, last: int, confirmed: int | None) -> int:
    """The last entry that counts of a chain that broke: what may stand under a wrong number does
    not."""
    if cause is Cause.NUMBERING:
        return -1 if confirmed is None else min(last, confirmed)
    return last
