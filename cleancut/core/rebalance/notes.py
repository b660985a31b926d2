"""Notes of a rebalance: goals that no plan of a layout reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from shlex import quote

from cleancut.core.cluster.layout import Layout


def notes_of(layout: Layout, *, drop_surplus: bool) -> Iterator[str]:
    """The goals that no plan reaches, and the fate of surplus replicas."""
    peers = len(layout.peers)
    for entry in layout.collections:
        there = Counter(replica.shard_id for replica in entry.replicas)
        shards, factor = len(there), min(max(1, entry.factor), peers)
        kept = sum(factor if drop_surplus else max(factor, number) for number in there.values())
        if 0 < kept < peers:
            yield (
                f"{entry.name}: {shards} shards with {kept} replicas in all leave {peers - kept}"
                f" of {peers} peers empty: `cleancut reshard start {quote(entry.name)}` makes"
                " more shards"
            )
        if entry.factor > peers:
            yield (
                f"{entry.name}: replication factor {entry.factor} on {peers} peers gives {peers}"
                " replicas; add peers, then rebalance again"
            )
        surplus = sum(max(0, number - factor) for number in there.values())
        if surplus > 0:
            said = "are dropped" if drop_surplus else "stay; --drop-surplus drops them"
            yield (
                f"{entry.name}: {surplus} replicas more than its replication factor"
                f" {entry.factor} asks for {said}"
            )
