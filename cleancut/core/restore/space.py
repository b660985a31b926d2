"""Disk space of a restore: upper bounds for each peer, and what certainly does not fit. Pure.

Qdrant places shards when a collection is created, so only upper bounds are known before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import PeerId
from cleancut.core.restore.target import FREE_STEP, Target, TargetPeer


class Share(Record, frozen=True):
    """The space for one collection: its shards' sizes, each as often as there are replicas.

    `log_bytes`: of each shard in addition. `even`: Qdrant spreads all of it at once;
    shards of keys come one by one, and any peer may get all, `fillers` too. `at`: the
    peer of a repair.
    """

    sizes: tuple[int, ...]
    replicas: int = 1
    log_bytes: int = 0
    even: bool = True
    fillers: int = 0
    at: PeerId | None = None


class Bound(Record, frozen=True):
    """The most that one peer will hold. `data_bytes`: the part of `size_bytes` that is read."""

    shards: int = 0
    data_bytes: int = 0
    size_bytes: int = 0


def bound_at(peer: PeerId, shares: Sequence[Share], target: Target) -> Bound:
    """The bound of all shares together at one peer."""
    shards = data_bytes = size_bytes = 0
    for share in shares:
        most = _most(share, peer, len(target.peers))
        data = sum(sorted(share.sizes, reverse=True)[:most])
        shards += most
        data_bytes += data
        size_bytes += data + most * share.log_bytes
    return Bound(shards=shards, data_bytes=data_bytes, size_bytes=size_bytes)


def _most(share: Share, peer: PeerId, peers: int) -> int:
    if share.at is not None:
        return len(share.sizes) if share.at == peer else 0
    if share.even:
        return -(-len(share.sizes) * share.replicas // peers)
    return len(share.sizes) + share.fillers


def space_warnings(shares: Sequence[Share], target: Target) -> Iterator[str]:
    """Warnings for peers with less room than their bound; none for unknown disks."""
    for peer in target.peers:
        need = bound_at(peer.peer_id, shares, target).size_bytes
        if peer.free_bytes is not None and peer.free_bytes < need:
            yield (
                f"{target.named(peer.peer_id)} may get up to {_gb(need)}, and"
                f" {_gb(peer.free_bytes)} are free there: make room first, unless the shards are"
                " spread well"
            )


def space_blockers(shares: Sequence[Share], target: Target) -> Iterator[str]:
    """Collections that fit nowhere, however Qdrant places them. Free space is reported in steps, so
    the real value may be greater by up to one."""
    spread = [share for share in shares if share.at is None]
    free = [_most_free(peer) for peer in target.peers]
    if spread and free and None not in free:
        known = [size for size in free if size is not None]
        total = sum(sum(share.sizes) * share.replicas for share in spread)
        largest = max((size for share in spread for size in share.sizes), default=0)
        if total > sum(known):
            yield f"{_gb(total)} are needed and {_gb(sum(known))} free on all peers together"
        elif largest > max(known):
            yield f"a shard of {_gb(largest)} fits on no peer, at most {_gb(max(known))} are free"
    for share in shares:
        for peer in target.peers:
            size = _most_free(peer)
            if peer.peer_id == share.at and size is not None and sum(share.sizes) > size:
                at = target.named(peer.peer_id)
                yield f"{_gb(sum(share.sizes))} are needed and {_gb(size)} free on {at}"


def _most_free(peer: TargetPeer) -> int | None:
    return None if peer.free_bytes is None else peer.free_bytes + FREE_STEP


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
