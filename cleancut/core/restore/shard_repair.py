"""Repair of single lost shards in a live collection: whether it is possible, and where. Pure."""

from __future__ import annotations

from collections import Counter

from cleancut.core.cluster.collection_config import shape_of
from cleancut.core.format.manifest import CollectionEntry, Manifest
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.names import what_has
from cleancut.core.restore.target import LiveCollection, Target


class ShardRepair(Record, frozen=True):
    """`peer`: where the shards go; `reason` forbids it."""

    peer: PeerId | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()


def repair_of(
    manifest: Manifest, entry: CollectionEntry, request: RestoreRequest, target: Target
) -> ShardRepair:
    """Repairs only shards without any replica, and only if the collection is compatible."""
    live = next((one for one in target.live if one.name == entry.name), None)
    if live is None:
        return ShardRepair(reason=_not_live(entry.name, target))
    reason = _not_lost(entry, request, live, target) or _other_config(entry, live)
    if reason:
        return ShardRepair(reason=reason)
    peer, reason = _place(request, live, target)
    return ShardRepair(peer=peer, reason=reason, warnings=_warnings(manifest, entry, request, live))


def _not_live(name: str, target: Target) -> str:
    has = what_has(name, target)
    if has == "collection":
        return "the collection could not be read; look at the cluster's state, then plan again"
    there = f"the name is an {has}" if has else "no such collection exists"
    return f"{there}, so there is nothing to repair; restore it whole"


def _not_lost(
    entry: CollectionEntry, request: RestoreRequest, live: LiveCollection, target: Target
) -> str:
    for shard in request.only_shards:
        if shard not in entry.shard_ids:
            return f"the backup holds no shard {shard} of it, only {list(entry.shard_ids)}"
        for replica in live.replicas:
            if replica.shard_id == shard:
                at = target.named(replica.peer_id)
                return (
                    f"shard {shard} has a replica on {at}: nothing to repair; a"
                    " peer that is gone for good is removed with"
                    f" `cleancut cluster forget-peer {replica.peer_id}`"
                )
    return ""


def _other_config(entry: CollectionEntry, live: LiveCollection) -> str:
    before, now = shape_of(entry.info["config"]), shape_of(live.config)
    other = [name.replace("_", " ") for name in before if before[name] != now[name]]
    if not other:
        return ""
    return (
        f"the collection's {', '.join(other)} are not the backup's, so its points would not fit;"
        " restore it whole under another name"
    )


def _place(
    request: RestoreRequest, live: LiveCollection, target: Target
) -> tuple[PeerId | None, str]:
    agents = {peer.peer_id: peer.agent for peer in target.peers}
    if request.peer is not None and request.peer not in agents:
        known = ", ".join(target.named(peer) for peer in sorted(agents))
        return None, f"the cluster has no peer {request.peer}, only {known}"
    if request.peer is not None and agents[request.peer] is None:
        return None, f"peer {request.peer} has no connected agent; start one"
    holds = Counter(replica.peer_id for replica in live.replicas)
    fit = sorted((holds[peer], peer) for peer, agent in agents.items() if agent is not None)
    if not fit:
        return None, "no peer has a connected agent; start one"
    return (fit[0][1] if request.peer is None else request.peer), ""


def _warnings(
    manifest: Manifest, entry: CollectionEntry, request: RestoreRequest, live: LiveCollection
) -> tuple[str, ...]:
    shards = ", ".join(str(shard) for shard in sorted(request.only_shards))
    mixed = (
        f"epochs are mixed: shard {shards} will be as of {manifest.cut_at}, the others as they are"
    )
    if live.uuid == entry.uuid:
        return (mixed,)
    other = "the collection was recreated since the backup: its other shards may hold other data"
    return (mixed, other)
