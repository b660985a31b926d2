"""Rounds of counting by two rings: when replicas agree, when to look closer, when to give up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cleancut.core.cluster.ring_counts import BUCKETS, ReplicaCount, RingProof

MAX_BUCKETS = 65_536
_CLOSER, _ROUNDS = 4, 3
"""How many times as many buckets after how many rounds: many new points spoil most of a few."""
_STILL_ROUNDS, _STILL_S = 8, 10.0
"""Without a bucket that is newly proven, until what lacks is taken for lost."""


@dataclass(slots=True)
class RingRounds:
    """What the rounds of one step have shown. `buckets`: those of the next round. `lacking`: what
    is not proven, for people; empty once every replica holds what it must. `points`: that move, by
    the last round."""

    buckets: int = BUCKETS
    lacking: tuple[str, ...] = ("nothing was counted",)
    points: int = 0
    _proof: RingProof = field(default_factory=RingProof)
    _rounds: int = 0
    _still: int = 0
    _grown_s: float = 0.0

    def add(self, counts: Sequence[ReplicaCount], agents: Mapping[int, str], now_s: float) -> None:
        """One round, counted with `buckets`. `agents`: they name the peers."""
        before = self._proof.proven
        self._proof.add(counts, agents)
        self._rounds += 1
        if self._proof.proven > before:
            self._still, self._grown_s = 0, now_s
        else:
            self._still += 1
        moved: dict[tuple[int, int], int] = {}
        for part in (part for one in counts for part in one.parts if part.old != part.new):
            moved[part.pair] = max(moved.get(part.pair, 0), part.count)
        self.points, self.lacking = sum(moved.values()), self._proof.open
        if self.lacking and self._rounds >= _ROUNDS and self.buckets < MAX_BUCKETS:
            self.buckets, self._rounds = min(MAX_BUCKETS, self.buckets * _CLOSER), 0
            self._proof = RingProof()

    def hopeless(self, now_s: float) -> bool:
        """True if no further round is likely to prove more."""
        over = self._still >= _STILL_ROUNDS and now_s - self._grown_s >= _STILL_S
        return bool(self.lacking) and over
