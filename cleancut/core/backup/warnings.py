"""Warnings attached to a group's manifest; the group itself is valid. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import ReplicaEntry, ShardEntry
from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.evidence import is_quiet


def unseen_peers(view: View, peers: Collection[PeerId | None]) -> tuple[str, ...]:
    """A warning for each peer without an agent that took part."""
    return tuple(
        f"peer {peer} took no part: it has no agent, or its agent's Qdrant did not answer"
        for peer in sorted(set(view.peers) - set(peers))
    )


def not_drained(names: Collection[str], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each collection that was not drained: it cannot be proven quiet."""
    return tuple(
        f"{name} was not drained: {reasons.get(name, 'a drain was refused or did not answer')}"
        for name in sorted(names)
    )


def divergent(shards: Sequence[ShardEntry], replicas: Sequence[ReplicaEntry]) -> tuple[str, ...]:
    """A warning for each quiet replica whose number of points differs from that of the cut one.

    Both counts are exact, and nothing was written meanwhile: Qdrant let the replicas diverge.
    """
    return tuple(_divergent(shards, replicas))


def _divergent(shards: Sequence[ShardEntry], replicas: Sequence[ReplicaEntry]) -> Iterator[str]:
    cut = {(shard.collection, shard.shard_id): shard for shard in shards if shard.quiet}
    for one in sorted(replicas, key=lambda r: (r.collection, r.shard_id, r.peer_id)):
        shard = cut.get((one.collection, one.shard_id))
        if shard is None or shard.count is None or shard.count == one.count:
            continue
        if is_quiet(one.first, one.second, drained=True):
            yield (
                f"{one.collection}/{one.shard_id}: its replica on peer {one.peer_id} holds "
                f"{one.count} points, the one that was cut on peer {shard.peer_id} {shard.count}"
            )
