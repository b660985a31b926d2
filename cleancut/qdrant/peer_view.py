"""One peer as it describes itself: its view of the cluster, and the numbers of its shards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from cleancut.core.cluster.view import (
    CollectionView,
    ReplicaView,
    View,
    config_digest,
)
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, PeerId, ShardId
from cleancut.core.protocol.effect_requests import Readings
from cleancut.core.protocol.etcd_records import ShardState, ShardTask, UnusableReplica
from cleancut.core.protocol.fence import aliases_in_use
from cleancut.core.protocol.requests import Selection
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.live_shards import live_shards, transfer_view
from cleancut.qdrant.responses import (
    ClusterInfo,
    CollectionTelemetry,
    Placement,
    ShardTelemetry,
    Telemetry,
)

READING_LEVEL = 4
"""Of telemetry: segments and optimizations are in it. Source: D14"""


async def read_view(
    qdrant: Qdrant, selection: Selection, telemetry: Telemetry | None = None
) -> View:
    """The canonical view of the peer at `qdrant`, of the selected collections. Its `telemetry` may
    be at hand.

    Nothing in it is fetched from another peer: one that is dead, or a shard that cannot be read,
    hides no other collection.
    Raises: Refused if the peer is not a member of the cluster it describes; errors of `Qdrant`.
    """
    cluster = await qdrant.cluster()
    if cluster.enabled and cluster.peer_id not in cluster.peers:
        raise Refused(
            f"peer {cluster.peer_id} is not among the peers of its own cluster",
            "it probably lost its disk and restarted empty: remove the old peer, then bootstrap it",
        )
    telemetry = telemetry or await qdrant.telemetry()
    hidden = set(await qdrant.collections()) - set(telemetry.collections)
    if hidden:  # one that was just made is described by now
        telemetry = await qdrant.telemetry()
        hidden -= set(telemetry.collections)
    aliases = await qdrant.aliases()
    return view_of(cluster, telemetry, aliases, selection, hidden=hidden)


def view_of(
    cluster: ClusterInfo,
    telemetry: Telemetry,
    aliases: Mapping[str, str],
    selection: Selection,
    *,
    hidden: Collection[str] = (),
) -> View:
    """The view from the answers of one peer. `hidden`: listed, and not described.

    A name of the selection that is an alias stands for the collection behind it.
    """
    names = {*selection.collections, *selection.exclude}
    selection = selection.resolved(aliases_in_use(aliases, {*telemetry.collections, *hidden}))
    local = None if cluster.enabled else cluster.peer_id
    chosen = {n: entry for n, entry in telemetry.collections.items() if selection.takes(n)}
    look = _name_of if selection.names_only else partial(_collection_view, local)
    return View(
        peers=tuple(PeerId(peer) for peer in sorted(cluster.peers)) or (WITHOUT_CLUSTER,),
        collections=tuple(look(name, entry) for name, entry in sorted(chosen.items())),
        aliases=tuple(
            sorted(
                (alias, of)
                for alias, of in aliases.items()
                if of in chosen or alias in hidden or alias in names
            )
        ),
        hidden=tuple(sorted(name for name in hidden if selection.takes(name))),
    )


def _name_of(name: str, entry: CollectionTelemetry) -> CollectionView:
    return CollectionView(
        name=name, uuid=entry.uuid or "", config=config_digest(entry.config), replicas=()
    )


def _collection_view(local: int | None, name: str, entry: CollectionTelemetry) -> CollectionView:
    placement = entry.placement(0)
    return CollectionView(
        name=name,
        uuid=entry.uuid or "",
        config=config_digest(entry.config),
        replicas=_replicas(placement, local),
        transfers=tuple(
            transfer_view(one)
            for one in sorted(
                placement.transfers,
                key=lambda t: (t.shard_id, t.source, t.target, t.target_shard or 0),
            )
        ),
        resharding=placement.resharding,
        lost=live_shards(name, entry, placement).lost,
    )


def _replicas(placement: Placement, local: int | None) -> tuple[ReplicaView, ...]:
    """A single Qdrant gives its replicas a peer id of chance; here it is peer 0 (`local`)."""
    return tuple(
        ReplicaView(
            shard_id=ShardId(replica.shard_id),
            peer_id=PeerId(replica.peer_id if local is None else local),
            state=replica.state,
            shard_key=replica.shard_key,
        )
        for replica in placement.shards
    )


def unusable_replicas(
    telemetry: Telemetry, peer_id: PeerId, selection: Selection
) -> tuple[UnusableReplica, ...]:
    """Local replicas that consensus calls Active but that this peer has not loaded.

    Source: lib/collection/src/shards/dummy_shard.rs, Qdrant 1.18.3 (also in recovery mode)
    """
    return tuple(
        UnusableReplica(collection=name, shard_id=ShardId(shard_id), peer_id=peer_id)
        for name, entry in sorted(telemetry.collections.items())
        if selection.takes(name)
        for shard_id, shard in sorted(entry.shards.items())
        if shard.is_dummy
    )


def readings_of(
    telemetry: Telemetry, tasks: Sequence[ShardTask], known: Sequence[str] = ()
) -> Readings:
    """The numbers and states of these shards, in the order of the tasks. `known`: the segment of
    each that is named again, if the shard still has it. Another peer than a task's has no number
    for it."""
    counters = telemetry.counters
    shards = [_shard(telemetry, task) for task in tasks]
    wanted = known or [""] * len(tasks)
    return Readings(
        numbers=tuple(shard.op_num if shard else None for shard in shards),
        incarnation=telemetry.startup,
        arrivals=counters.arrivals,
        states=tuple(_state(shard, one) for shard, one in zip(shards, wanted, strict=True)),
    )


def _shard(telemetry: Telemetry, task: ShardTask) -> ShardTelemetry | None:
    if telemetry.peer_id != task.peer_id:
        return None
    collection = telemetry.collections.get(task.collection)
    return collection.shards.get(task.shard_id) if collection else None


def _state(shard: ShardTelemetry | None, known: str) -> ShardState:
    if shard is None:
        return ShardState()
    log = shard.optimizations
    segment = known if known in shard.segments else next(iter(shard.segments), "")
    return ShardState(
        status=shard.status or "",
        segment=segment,
        optimizing=-1 if log is None else sum(running for running, _ in log),
        optimized_at=max((start for _, start in log or ()), default=""),
    )


async def count_optimizing(qdrant: Qdrant, seen: Telemetry, tasks: Sequence[ShardTask]) -> int:
    """How many of these local shards are under optimization. `seen`: a reading of level 3, which
    holds the status alone; only where one is not green are the optimizations read."""
    shards = [_shard(seen, task) for task in tasks]
    if all(shard is None or shard.status == "green" for shard in shards):
        return 0
    states = readings_of(await qdrant.telemetry(level=READING_LEVEL), tasks).states
    return sum(state.optimizing > 0 for state in states)


def parents_segment(task: ShardTask) -> str:
    state = task.parent.second.state if task.parent else None
    return state.segment if state else ""
