"""Retention of the archive: which chunks, chains and marks nothing needs any more. Pure.

What is deleted can never be needed again: a chain that has ended gets no new base once the backups
that were under way are over, and a new base of a living one begins no earlier than the old ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cleancut.core.archive.bases import ShardBase
from cleancut.core.archive.records import Chain, ChainEnd
from cleancut.core.primitives.ids import Epoch

LEAST_GRACE_S = 3600.0
"""How long a chain that has ended waits at least for a backup that may be its base."""


class ChunkFacts(NamedTuple):
    """A chunk: what it holds of which chain, up to which entry; None: its head was not read."""

    path: str
    made_at_ms: int
    parts: tuple[tuple[str, int], ...] | None


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What a store holds of the archive. `bases`: of the backups that stay; `held`: those of them
    that a hold or a restore needs, with all that continues them. `following`: chains that agents
    follow now. `chains`, `ends`: by id; `marks`: when each was taken, by path."""

    now_ms: int
    keep_ms: int
    grace_ms: int
    chunks: Sequence[ChunkFacts] = ()
    chains: Mapping[str, Chain] = field(default_factory=dict)
    ends: Mapping[str, ChainEnd] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)
    bases: Iterable[ShardBase] = ()
    held: Collection[Epoch] = ()
    following: Collection[str] = ()


class ArchiveGarbage(NamedTuple):
    """What may be deleted: paths of chunks and marks, ids of chains."""

    chunks: tuple[str, ...]
    marks: tuple[str, ...]
    chains: tuple[str, ...]


def find_archive_garbage(facts: ArchiveFacts) -> ArchiveGarbage:
    """All that nothing needs. What is not known is kept, unless it is older than everything is."""
    need = _Need(facts)
    gone = [chunk for chunk in facts.chunks if not need.of_chunk(chunk)]
    kept = set(facts.chunks) - set(gone)
    named = {chain for chunk in kept for chain, _ in chunk.parts or ()}
    unread = any(chunk.parts is None for chunk in kept)
    chains = () if unread else (c for c in facts.chains if c not in named and not need.of_chain(c))
    return ArchiveGarbage(
        chunks=tuple(chunk.path for chunk in gone),
        marks=tuple(path for path, at_ms in facts.marks.items() if not need.of_mark(at_ms)),
        chains=tuple(chains),
    )


class _Need:
    """`first`: by chain, the first entry that a kept base needs; `held`: that a held one does."""

    def __init__(self, facts: ArchiveFacts) -> None:
        self._facts = facts
        self._oldest_ms = facts.now_ms - facts.keep_ms
        self.first: dict[str, int] = {}
        self.held: dict[str, int] = {}
        held_ms = []
        for base in facts.bases:
            self.first[base.chain] = min(base.first, self.first.get(base.chain, base.first))
            if base.epoch in facts.held:
                self.held[base.chain] = min(base.first, self.held.get(base.chain, base.first))
                held_ms.append(int(base.cut_s * 1000))
        self._held_ms = min(held_ms, default=facts.now_ms + 1)

    def of_chunk(self, chunk: ChunkFacts) -> bool:
        old = chunk.made_at_ms < self._oldest_ms
        if chunk.parts is None:
            return not old or bool(self.held)
        return any(self._of_part(chain, last, chunk, old=old) for chain, last in chunk.parts)

    def _of_part(self, chain: str, last: int, chunk: ChunkFacts, *, old: bool) -> bool:
        if chain in self.held and last >= self.held[chain]:
            return True
        if old:
            return False
        if chain in self.first:
            return last >= self.first[chain]
        if chain in self._facts.chains or chain in self._facts.following:
            return not self._is_over(chain)
        return chunk.made_at_ms + self._facts.grace_ms >= self._facts.now_ms

    def _is_over(self, chain: str) -> bool:
        """Whether it has ended for so long that it gets no base any more."""
        end = self._facts.ends.get(chain)
        if end is None or chain in self._facts.following:
            return False
        return end.at_ms + self._facts.grace_ms < self._facts.now_ms

    def of_chain(self, chain: str) -> bool:
        if chain in self.first or chain in self._facts.following:
            return True
        return not self._is_over(chain) and (
            self._facts.chains[chain].created_at_ms >= self._oldest_ms
        )

    def of_mark(self, at_ms: int) -> bool:
        return at_ms >= min(self._oldest_ms, self._held_ms)
