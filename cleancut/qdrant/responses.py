"""What Qdrant's answers mean to the protocol, parsed once at the border. No I/O here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cleancut.core.cluster.resharding import Direction, ReshardingState
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import PeerId, ShardId

ShardKey = str | int | None
"""A custom sharding key as Qdrant types it (`7` and `"7"` differ); None for automatic sharding."""

_RECOVER = (
    "PUT /collections/{collection_name}/shards/{shard}/snapshots/recover",
    "PUT /collections/{collection_name}/snapshots/recover",
    "POST /collections/{collection_name}/shards/{shard}/snapshot/partial/recover",
    "POST /collections/{collection_name}/shards/{shard}/snapshot/partial/recover_from",
)
_UPLOAD = (
    "POST /collections/{collection_name}/shards/{shard}/snapshots/upload",
    "POST /collections/{collection_name}/snapshots/upload",
)
_REFUSED_FIRST = frozenset({"403", "404"})
_INITIATE = ("/qdrant.CollectionsInternal/Initiate",)
_SHARD_RECOVER = ("/qdrant.ShardSnapshots/Recover",)


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster as one peer sees it; a single Qdrant is peer 0, `enabled` false.

    Source: lib/storage/src/types.rs (ClusterStatus), Qdrant 1.18.3
    """

    peer_id: int
    peers: dict[int, str]
    commit: int
    leader: int | None
    pending_operations: int
    enabled: bool
    consensus: str = ""
    """Why its consensus thread no longer works; "" while it does."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a shard; `local`: it lives on the peer that answered."""

    shard_id: int
    shard_key: ShardKey
    peer_id: int
    state: str
    local: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """A shard on its way between two peers; `comment` is only known at one of the ends.
    `target_shard`: the shard that some of its points go to, in a resharding."""

    shard_id: int
    source: int
    target: int
    sync: bool
    method: str | None
    comment: str
    target_shard: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one collection's replicas are, as the peer that answered has applied it."""

    peer_id: int
    shards: tuple[Replica, ...]
    transfers: tuple[Transfer, ...]
    resharding: tuple[ReshardingState, ...] = ()

    def local(self) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.shards if replica.local)

    def places(self) -> tuple[tuple[ShardId, PeerId], ...]:
        return tuple((ShardId(one.shard_id), PeerId(one.peer_id)) for one in self.shards)

    def shard_keys(self) -> tuple[tuple[str | int, tuple[ShardId, ...]], ...]:
        """The ids of each custom sharding key, by the first of them; none without such keys."""
        ids: dict[str | int, set[int]] = {}
        for replica in self.shards:
            if replica.shard_key is not None:
                ids.setdefault(replica.shard_key, set()).add(replica.shard_id)
        ordered = sorted(ids.items(), key=lambda item: min(item[1]))
        return tuple((key, tuple(ShardId(one) for one in sorted(mine))) for key, mine in ordered)


@dataclass(frozen=True, slots=True)
class ShardTelemetry:
    """One shard at the peer that answered; `op_num` None: it holds no loaded replica of it.

    `status` is None for a replica that is not loaded, or that a transfer wraps. `is_dummy`: its
    replica could not be loaded, or the peer is in recovery mode. Only at level 4: `segments`, the
    largest first, and `optimizations`, (running, start) of each, newest first; None if unknown.
    """

    shard_id: int
    shard_key: ShardKey
    op_num: int | None
    queue_length: int
    status: str | None
    replica_states: dict[int, str]
    segments: tuple[str, ...] = ()
    optimizations: tuple[tuple[bool, str], ...] | None = None
    is_dummy: bool = False


@dataclass(frozen=True, slots=True)
class CollectionTelemetry:
    """One collection at the peer that answered; `uuid` changes with delete and create."""

    uuid: str | None
    config: dict[str, Any]
    shards: dict[int, ShardTelemetry]
    transfers: tuple[Transfer, ...] = ()
    resharding: tuple[ReshardingState, ...] = ()

    def placement(self, peer_id: int) -> Placement:
        """Where its replicas are, as this peer has applied it: `GET /collections/<name>/cluster`
        without a request of its own."""
        replicas = [
            Replica(shard.shard_id, shard.shard_key, peer, state, peer == peer_id)
            for shard in self.shards.values()
            for peer, state in shard.replica_states.items()
        ]
        replicas.sort(key=lambda replica: (replica.shard_id, replica.peer_id))
        return Placement(peer_id, tuple(replicas), self.transfers, self.resharding)


@dataclass(frozen=True, slots=True)
class RecoveryCounters:
    """How often, since `app.startup`, other data may have been put in place here.

    Requests that failed are counted too: only equality of two readings says something. All are -1
    if the peer does not say: a count that is missing is unknown, not zero.
    """

    recover: int
    upload: int
    initiate: int
    shard_recover: int

    @property
    def arrivals(self) -> int:
        """All together; -1 if unknown."""
        counts = (self.recover, self.upload, self.initiate, self.shard_recover)
        return -1 if min(counts) < 0 else sum(counts)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One reading of a peer's telemetry; numbers compare only within one `startup`.
    `recovery_mode`: the peer was started so, and loads no shard. `resharding_enabled`: its
    configuration allows it; None if it does not say."""

    app_version: str
    startup: str
    peer_id: int
    collections: dict[str, CollectionTelemetry]
    counters: RecoveryCounters
    recovery_mode: bool = False
    resharding_enabled: bool | None = None


def parse_cluster(result: Mapping[str, Any]) -> ClusterInfo:
    """Raises: Corrupt, if the answer has another shape."""
    if result.get("status") == "disabled":
        return ClusterInfo(0, {}, 0, None, 0, enabled=False)
    try:
        raft = result["raft_info"]
        return ClusterInfo(
            peer_id=int(result["peer_id"]),
            peers={int(peer): str(info["uri"]) for peer, info in result["peers"].items()},
            commit=int(raft["commit"]),
            leader=raft.get("leader"),
            pending_operations=int(raft["pending_operations"]),
            enabled=True,
            consensus=_consensus(result.get("consensus_thread_status")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise _unknown_shape("/cluster") from cause


def _consensus(status: Mapping[str, Any] | None) -> str:
    """Source: lib/storage/src/types.rs (ConsensusThreadStatus), Qdrant 1.18.3"""
    word = str((status or {}).get("consensus_thread_status") or "working")
    if word == "working":
        return ""
    cause = str((status or {}).get("err") or "")[:300]
    return f"{word}: {cause}" if cause else word


def parse_placement(result: Mapping[str, Any]) -> Placement:
    """Order: shards by id, then by peer. Raises: Corrupt, if the answer has another shape."""
    try:
        peer = int(result["peer_id"])
        replicas = [_replica(shard, peer, local=True) for shard in result["local_shards"]]
        replicas += [
            _replica(shard, int(shard["peer_id"]), local=False)
            for shard in result.get("remote_shards") or ()
        ]
        replicas.sort(key=lambda replica: (replica.shard_id, replica.peer_id))
        transfers = tuple(_transfer(entry) for entry in result.get("shard_transfers") or ())
        resharding = _resharding(result.get("resharding_operations"))
    except (KeyError, TypeError, ValueError) as cause:
        raise _unknown_shape("/collections/<name>/cluster") from cause
    return Placement(peer, tuple(replicas), transfers, resharding)


def parse_telemetry(result: Mapping[str, Any]) -> Telemetry:
    """Raises: Corrupt, if the answer has another shape (a key that may only see parts of it)."""
    try:
        app = result["app"]
        cluster = result.get("cluster") or {}
        status = cluster.get("status") or {}
        entries = (result.get("collections") or {}).get("collections") or ()
        return Telemetry(
            app_version=str(app["version"]),
            startup=str(app["startup"]),
            peer_id=int(status.get("peer_id") or 0),
            collections={str(entry["id"]): _collection(entry) for entry in entries},
            counters=_counters(result.get("requests")),
            recovery_mode=bool((app.get("features") or {}).get("recovery_mode")),
            resharding_enabled=cluster.get("resharding_enabled"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise _unknown_shape("/telemetry") from cause


def _replica(entry: Mapping[str, Any], peer_id: int, *, local: bool) -> Replica:
    return Replica(
        int(entry["shard_id"]), entry.get("shard_key"), peer_id, str(entry["state"]), local
    )


def _transfer(entry: Mapping[str, Any]) -> Transfer:
    return Transfer(
        shard_id=int(entry["shard_id"]),
        source=int(entry["from"]),
        target=int(entry["to"]),
        sync=bool(entry.get("sync")),
        method=entry.get("method"),
        comment=str(entry.get("comment") or ""),
        target_shard=entry.get("to_shard_id"),
    )


def _resharding(entries: Iterable[Mapping[str, Any]] | None) -> tuple[ReshardingState, ...]:
    return tuple(
        ReshardingState(
            direction=Direction(entry["direction"]),
            shard_id=ShardId(int(entry["shard_id"])),
            peer_id=PeerId(int(entry["peer_id"])),
            shard_key=entry.get("shard_key"),
            uuid=str(entry.get("uuid") or ""),
        )
        for entry in entries or ()
    )


def _collection(entry: Mapping[str, Any]) -> CollectionTelemetry:
    config = dict(entry.get("config") or {})
    return CollectionTelemetry(
        uuid=config.get("uuid"),
        config=config,
        shards={int(shard["id"]): _shard(shard) for shard in entry.get("shards") or ()},
        transfers=tuple(_transfer(transfer) for transfer in entry.get("transfers") or ()),
        resharding=_resharding(entry.get("resharding")),
    )


def _shard(entry: Mapping[str, Any]) -> ShardTelemetry:
    local = entry.get("local") or {}
    queue = local.get("update_queue") or {}
    op_num = queue.get("op_num")
    return ShardTelemetry(
        shard_id=int(entry["id"]),
        shard_key=entry.get("key"),
        op_num=None if op_num is None else int(op_num),
        queue_length=int(queue.get("length") or 0),
        status=local.get("status"),
        replica_states={
            int(peer): str(state) for peer, state in (entry.get("replicate_states") or {}).items()
        },
        segments=_segments(local.get("segments") or ()),
        optimizations=_optimizations((local.get("optimizations") or {}).get("log")),
        is_dummy=local.get("variant_name") == "dummy shard",
    )


def _segments(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Source: lib/segment/src/types.rs (SegmentInfo), Qdrant 1.18.3"""
    infos = [entry["info"] for entry in entries]
    infos.sort(key=lambda info: (-int(info["num_points"]), str(info["uuid"])))
    return tuple(str(info["uuid"]) for info in infos)


def _optimizations(
    log: Iterable[Mapping[str, Any]] | None,
) -> tuple[tuple[bool, str], ...] | None:
    """Source: lib/shard/src/tracker.rs (TrackerLog), Qdrant 1.18.3"""
    if log is None:
        return None
    return tuple((entry["status"] == "optimizing", str(entry["start_at"])) for entry in log)


def _counters(requests: Mapping[str, Any] | None) -> RecoveryCounters:
    """Source: src/common/telemetry_ops/requests_telemetry.rs, Qdrant 1.18.3"""
    rest = ((requests or {}).get("rest") or {}).get("responses")
    grpc = ((requests or {}).get("grpc") or {}).get("responses")
    if rest is None or grpc is None:
        return RecoveryCounters(-1, -1, -1, -1)
    return RecoveryCounters(
        recover=sum(_requests(rest, _RECOVER)),
        upload=sum(_requests(rest, _UPLOAD)),
        initiate=sum(_requests(grpc, _INITIATE)),
        shard_recover=sum(_requests(grpc, _SHARD_RECOVER)),
    )


def _requests(responses: Mapping[str, Any], routes: tuple[str, ...]) -> Iterator[int]:
    """What was refused before it began has put nothing in place: probes do not count."""
    for route in routes:
        for status, statistics in (responses.get(route) or {}).items():
            if status not in _REFUSED_FIRST:
                yield int(statistics["count"])


def _unknown_shape(what: str) -> Corrupt:
    return Corrupt(
        f"Qdrant's answer to {what} has an unknown shape",
        "check Qdrant's version, and that the API key may read everything",
    )
