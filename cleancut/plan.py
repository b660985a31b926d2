"""What a restore would do and what forbids it: a pure function of a group and a live cluster.

Which peer will hold which shard is not known here: Qdrant decides at the create.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from cleancut.errors import Refused
from cleancut.ids import Epoch, OperationId, PeerId, ShardId, parse_version
from cleancut.manifest import CollectionEntry, Manifest
from cleancut.plan_names import Names, names_of, what_has
from cleancut.records import Record, digest_of
from cleancut.recreate import replication_factor, wal_bytes
from cleancut.requests import RestoreRequest
from cleancut.shard_keys import steps
from cleancut.target import Target, TargetPeer

OLDEST_QDRANT = (1, 17, 1)
NEWEST_TESTED = (1, 18)


class PlannedCollection(Record, frozen=True):
    """How one collection comes back.

    `name`: in the group. `created_as`: the collection that Qdrant gets. `published_as`: what
    clients call it in the end. `aliases` point to it in the end, `published_as` among them unless
    it is the collection's own name; `replaced` are those that exist, with what they point to now.
    `shard_ids`: all of them, or the lost ones of a heal. `exists`: what has the published name now.
    `size_bytes`: one copy of all shards, as stored; `points` is None where not all are known.
    `replicas`: what there will be of each shard; `factor`: the replication factor to create it
    with, 0: the group's. `heal_peer`: where the lost shards of a heal are put. `reason` says why
    `action` is to refuse.
    """

    name: str
    published_as: str
    action: Literal["create", "beside", "replace", "heal", "refuse"]
    shards: int
    replicas: int
    size_bytes: int
    created_as: str = ""
    points: int | None = None
    aliases: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    shard_ids: tuple[ShardId, ...] = ()
    exists: str = ""
    factor: int = 0
    heal_peer: PeerId | None = None
    reason: str = ""


class PlannedPeer(Record, frozen=True):
    """Upper bounds of what the peer may come to hold, write-ahead logs included."""

    peer_id: PeerId
    agent: str
    shards_max: int
    size_bytes_max: int
    free_bytes: int | None = None


class RestorePlan(Record, frozen=True):
    """It can start if there are no `obstacles`; each of those says what to do about it."""

    backup_id: OperationId
    backup_epoch: Epoch
    collections: tuple[PlannedCollection, ...]
    peers: tuple[PlannedPeer, ...]
    source_version: str
    target_version: str
    size_bytes: int = 0
    estimated_s: float | None = None
    warnings: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of what the restore would do and where: without the restore's own id, and without
        what changes by itself (free space, times). Obstacles follow from the rest."""
        return digest_of(
            (
                self.backup_epoch,
                [_without_id(collection) for collection in self.collections],
                [(peer.peer_id, peer.agent) for peer in self.peers],
                self.source_version,
                self.target_version,
            )
        )


def _without_id(planned: PlannedCollection) -> PlannedCollection:
    own = planned.action in {"create", "heal"}
    return planned if own else replace(planned, created_as="")


def make_plan(
    manifest: Manifest, request: RestoreRequest, target: Target, operation: str = ""
) -> RestorePlan:
    """The plan, whether or not it can be carried out; `operation` is "" while there is none.

    Raises: NotFound, if a collection is asked for that the group does not hold; Invalid, for
        renames that contradict each other.
    """
    chosen = choose(manifest, request)
    names = names_of(chosen, request, target, operation)
    collections = tuple(
        _collection(manifest, entry, request, target, names=names[entry.name]) for entry in chosen
    )
    versions = sorted(
        {p.qdrant_version for p in target.peers if p.qdrant_version}, key=parse_version
    )
    refusals = [f"{c.name}: {c.reason}" for c in collections if c.action == "refuse"]
    told = [f"{name}: {told}" for name, given in names.items() for told in given.warnings]
    return RestorePlan(
        backup_id=manifest.operation,
        backup_epoch=manifest.epoch,
        collections=collections,
        peers=tuple(_peer(manifest, chosen, target, peer) for peer in target.peers),
        source_version=manifest.source.qdrant_version,
        target_version=versions[0] if versions else "",
        warnings=(*_warnings(manifest, chosen, target), *told),
        obstacles=(*_obstacles(manifest, target), *refusals),
    )


def check_plan(plan: RestorePlan) -> RestorePlan:
    """Raises: Refused, with the first obstacle and the number of others."""
    if plan.obstacles:
        more = len(plan.obstacles) - 1
        others = f" (and {more} more)" if more else ""
        raise Refused(
            f"cannot restore: {plan.obstacles[0]}{others}", "`cleancut restore plan` names them all"
        )
    return plan


def choose(manifest: Manifest, request: RestoreRequest) -> tuple[CollectionEntry, ...]:
    """The collections to restore, by name; all of the group if none is named. Raises: NotFound."""
    names = sorted(set(request.collections)) or sorted(e.name for e in manifest.collections)
    return tuple(manifest.collection(name) for name in names)


def _collection(
    manifest: Manifest,
    entry: CollectionEntry,
    request: RestoreRequest,
    target: Target,
    *,
    names: Names,
) -> PlannedCollection:
    shards = manifest.shards_of(entry.name)
    counts = [shard.count for shard in shards]
    reason = names.reason or _refusal(entry)
    return PlannedCollection(
        name=entry.name,
        published_as=names.published_as,
        created_as=names.created_as,
        action="refuse" if reason else names.action,
        shard_ids=entry.shard_ids,
        shards=len(entry.shard_ids),
        replicas=_replicas(entry, target),
        factor=request.replicas,
        size_bytes=sum(shard.size_bytes for shard in shards),
        points=sum(c for c in counts if c is not None) if None not in counts else None,
        aliases=names.aliases,
        replaced=names.replaced,
        exists=what_has(names.published_as, target),
        reason=reason,
    )


def _refusal(entry: CollectionEntry) -> str:
    if entry.info["config"]["params"].get("sharding_method") == "custom":
        try:
            steps(entry.shard_keys)
        except Refused as error:
            return str(error)
        return ""
    if tuple(entry.shard_ids) != tuple(range(len(entry.shard_ids))):
        return "its shard ids are not 0 to n-1, so Qdrant would route points elsewhere"
    return ""


def _replicas(entry: CollectionEntry, target: Target) -> int:
    """Replicas of each shard: Qdrant makes at most one a peer."""
    return min(replication_factor(entry.info), max(1, len(target.peers)))


def _peer(
    manifest: Manifest, chosen: tuple[CollectionEntry, ...], target: Target, peer: TargetPeer
) -> PlannedPeer:
    """Qdrant spreads the replicas of each collection evenly; the largest may all meet here."""
    shards = size_bytes = 0
    for entry in chosen:
        most = -(-len(entry.shard_ids) * _replicas(entry, target) // len(target.peers))
        sizes = sorted((s.size_bytes for s in manifest.shards_of(entry.name)), reverse=True)
        shards += most
        size_bytes += sum(sizes[:most]) + most * wal_bytes(entry.info)
    return PlannedPeer(
        peer_id=peer.peer_id,
        agent=peer.agent or "",
        shards_max=shards,
        size_bytes_max=size_bytes,
        free_bytes=peer.free_bytes,
    )


def _obstacles(manifest: Manifest, target: Target) -> Iterator[str]:
    if not target.peers:
        yield "no Qdrant peer answers; start the cluster and an agent beside each peer"
    for peer in target.peers:
        if peer.agent is None:
            yield (
                f"no agent is connected beside peer {peer.peer_id}, where Qdrant may place shards;"
                " start one, or remove a peer that is gone for good"
            )
        elif reason := _version_refusal(manifest.source.qdrant_version, peer.qdrant_version):
            yield f"peer {peer.peer_id} runs Qdrant {peer.qdrant_version}: {reason}"


def _version_refusal(source: str, target: str) -> str:
    """Segments are read by the minor version that wrote them and by the next one."""
    if parse_version(target) < OLDEST_QDRANT:
        return "too old for a restore; upgrade to 1.17.1 or newer"
    before, now = parse_version(source)[:2], parse_version(target)[:2]
    if now < before:
        return f"older than the group's {source}, whose segments it cannot read; upgrade first"
    if before[:1] != now[:1] or now[1] > before[1] + 1:
        return f"more than one minor version above the group's {source}; restore to one between"
    return ""


def _warnings(
    manifest: Manifest, chosen: tuple[CollectionEntry, ...], target: Target
) -> Iterator[str]:
    yield (
        "collections are visible under their own names while they are restored: clients that"
        " connect meanwhile see them half done, and what they write makes the restore fail and"
        " is lost"
    )
    if manifest.grade == "bounded":
        yield (
            f"the group is bounded: writes came in while it was cut (skew {manifest.skew_ms} ms);"
            " counts can be compared only between replicas"
        )
    for entry in chosen:
        factor = replication_factor(entry.info)
        if factor > len(target.peers) > 0:
            yield (
                f"{entry.name}: replication factor {factor} on {len(target.peers)} peers gives"
                f" {len(target.peers)} replicas; add peers, then replicate its shards"
            )
    for peer in target.peers:
        if parse_version(peer.qdrant_version)[:2] > NEWEST_TESTED:
            yield f"Qdrant {peer.qdrant_version} is newer than what this version was tested with"
        need = _peer(manifest, chosen, target, peer).size_bytes_max
        if peer.free_bytes is not None and peer.free_bytes < need:
            yield (
                f"peer {peer.peer_id} may need {need} bytes, and {peer.free_bytes} are free there;"
                " shards move to peers that have room; if none has, make room first"
            )
