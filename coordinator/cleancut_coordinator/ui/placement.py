"""Where the shards are, as Qdrant says: read for the page of the cluster alone."""

from __future__ import annotations

from collections import Counter
from functools import partial

from cleancut.page.views import Placement
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

MOST = 200
_AT_ONCE = 8
_ASK_S = 3.0


async def read_placement(context: CoordinatorContext) -> Placement:
    """Limits: the first 200 collections by name. Raises: what Qdrant does."""
    return await ask_any(context.peers, _placement)


async def _placement(peer: Qdrant) -> Placement:
    names = sorted(await peer.collections(_ASK_S))[:MOST]
    placed = await run_all([partial(peer.placement, name, _ASK_S) for name in names], _AT_ONCE)
    shards: Counter[int] = Counter()
    inactive: Counter[int] = Counter()
    collections: dict[str, dict[int, list[int]]] = {}
    for name, one in zip(names, placed, strict=True):
        on_peers = collections.setdefault(name, {})
        for replica in sorted(one.shards, key=lambda each: each.shard_id):
            on_peers.setdefault(replica.peer_id, []).append(replica.shard_id)
            shards[replica.peer_id] += 1
            inactive[replica.peer_id] += replica.state != "Active"
    return Placement(tuple(sorted(shards)), collections, shards, inactive)
