"""Blockers and warnings of a restore that do not depend on its names. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.cluster.collection_config import replication_factor, shape_of
from cleancut.core.cluster.versions import NEWEST_TESTED, OLDEST_QDRANT
from cleancut.core.format.manifest import CollectionEntry, Manifest
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, ShardId, parse_version
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.moment import Moment
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.shard_keys import KeyStep, steps
from cleancut.core.restore.target import Target

_WITHOUT_ROCKSDB = (1, 16, 2)
"""From here on Qdrant writes no RocksDB segments; 1.18 drops what it finds in such ones.
Source: lib/segment/src/segment_constructor/segment_constructor_base.rs, Qdrant 1.18.3"""

_WITH_QUOTAS = (1, 19, 0)

VISIBLE = (
    "collections are visible under their own names while they are restored: clients that connect"
    " meanwhile see them half done, and what they write makes the restore fail and is lost;"
    " --beside keeps them out"
)


def blockers(manifest: Manifest, target: Target) -> Iterator[str]:
    """Problems of the cluster, each with what to do about it."""
    if not target.peers:
        yield "no Qdrant peer answers; start the cluster and an agent for each peer"
    for peer in target.peers:
        if peer.agent is None:
            yield (
                f"peer {peer.peer_id}, where Qdrant may place shards, has no connected agent;"
                " start one, or, if that peer is gone for good, remove it with"
                f" `cleancut cluster forget-peer {peer.peer_id}`"
            )
        elif reason := _version_refusal(manifest.source.qdrant_version, peer.qdrant_version):
            yield f"{target.named(peer.peer_id)} runs Qdrant {peer.qdrant_version}: {reason}"


def quota_blockers(request: RestoreRequest, manifest: Manifest, target: Target) -> Iterator[str]:
    """Why the quotas of the backup cannot be set again."""
    if not request.quotas:
        return
    if manifest.source.quotas is None:
        yield (
            "the backup holds no quotas, which Qdrant has since 1.19: it is of Qdrant"
            f" {manifest.source.qdrant_version}; leave --quotas out"
        )
    for version in sorted({peer.qdrant_version for peer in target.peers}, key=parse_version):
        if parse_version(version) < _WITH_QUOTAS:
            yield f"Qdrant {version} has no quotas (1.19 and newer have); leave --quotas out"


def store_blockers(store: str, target: Target) -> Iterator[str]:
    """Agents that cannot read the store that the backup is in; "" is the main store."""
    for peer in target.peers if store else ():
        if peer.agent is not None and store not in peer.stores:
            yield (
                f"agent {peer.agent} has no [store.{store}] in its settings file; add it there, as"
                " in that of the coordinators"
            )


def _version_refusal(source: str, target: str) -> str:
    """Segments are read by the minor version that wrote them and by the next one."""
    if parse_version(target) < OLDEST_QDRANT:
        return "too old for a restore; upgrade to 1.17.1 or newer"
    if not source:
        return ""
    before, now = parse_version(source)[:2], parse_version(target)[:2]
    if now < before:
        return f"older than the backup's {source}, whose segments it cannot read; upgrade first"
    if before[:1] != now[:1] or now[1] > before[1] + 1:
        return f"more than one minor version above the backup's {source}; restore to one between"
    return ""


# Shards and their keys


def is_custom(entry: CollectionEntry) -> bool:
    return bool(entry.shard_keys) or shape_of(entry.info["config"])["sharding_method"] == "custom"


def cannot_be_rebuilt(entry: CollectionEntry) -> str:
    """The reason why Qdrant cannot create shards with these ids; "" if it can. The ids decide where
    points live."""
    if is_custom(entry):
        try:
            made = {number for step in steps(entry.shard_keys) for number in _own(step)}
        except Refused as error:
            return str(error)
        strays = sorted(made ^ set(entry.shard_ids))
        return f"its shards {strays} belong to no shard key" if strays else ""
    if sorted(entry.shard_ids) != list(range(len(entry.shard_ids))):
        return "its shard ids are not 0 to n-1, so Qdrant would route points elsewhere"
    number = shape_of(entry.info["config"])["shard_number"]
    if number not in {None, len(entry.shard_ids)}:
        return (
            f"its configuration has {number} shards and the backup {len(entry.shard_ids)}, as"
            " while it was resharded; restore a backup from before or after that"
        )
    return ""


def _own(step: KeyStep) -> tuple[ShardId, ...]:
    return () if step.filler else step.ids


def fillers(entry: CollectionEntry) -> int:
    """The number of shards to create and drop again, so that the next key gets its ids."""
    try:
        return sum(step.shards for step in steps(entry.shard_keys) if step.filler)
    except Refused:
        return 0


# Warnings


def warnings_of_group(
    manifest: Manifest, target: Target, moment: Moment | None = None
) -> Iterator[str]:
    """Warnings about the whole backup, and the moment that it is rolled forward to."""
    if moment is not None:
        yield from moment.warnings
        if not moment.instant:
            yield (
                f"the restored moment is consistent per shard only (skew {moment.skew_ms} ms, and"
                " by how much the clocks of agents differ): no mark is of that moment"
            )
    elif manifest.consistency is Consistency.PER_SHARD:
        yield (
            f"the backup is consistent per shard only (skew {manifest.skew_ms} ms): writes came in"
            " while it was cut; counts can be compared only between replicas"
        )
    elif manifest.consistency is Consistency.IMPORTED:
        yield (
            "the backup was imported from snapshots: what each shard is of, and which Qdrant wrote"
            " it, is not known"
        )
    source = manifest.source.qdrant_version
    if source and parse_version(source) < _WITHOUT_ROCKSDB:
        yield (
            f"the backup is of Qdrant {source}: segments that it wrote into RocksDB cannot be read"
            " by 1.18 and newer; restore to 1.17 first, and let it rewrite them"
        )
    for version in sorted({peer.qdrant_version for peer in target.peers}, key=parse_version):
        if parse_version(version)[:2] > NEWEST_TESTED:
            yield f"Qdrant {version} is newer than the newest tested version"
    if manifest.source.metadata and [peer.peer_id for peer in target.peers] == [WITHOUT_CLUSTER]:
        yield (
            f"cluster-wide metadata ({', '.join(sorted(manifest.source.metadata))}) is left out:"
            " this Qdrant runs without cluster mode and has none"
        )


def quota_warnings(request: RestoreRequest, manifest: Manifest) -> Iterator[str]:
    """Quotas are the cluster's own and are set again only if that is asked for."""
    if (manifest.source.quotas or {}).get("enabled") and not request.quotas:
        yield "the quotas in the backup are not set again; --quotas does that"


def warnings_of(entry: CollectionEntry, factor: int, target: Target) -> Iterator[str]:
    """Warnings about one collection that is created with this replication factor."""
    peers, before = len(target.peers), replication_factor(entry.info)
    if factor < before:
        yield (
            f"replication factor {factor} instead of the backup's {before}: each shard survives the"
            f" loss of {factor - 1} peers, no longer of {before - 1}"
        )
    if factor > peers > 0:
        yield (
            f"replication factor {factor} on {peers} peers gives {peers} replicas;"
            " add peers, then `cleancut rebalance start` makes the others"
        )
    shards = len(entry.shard_ids)
    if peers > shards * min(factor, peers) > 0:
        yield (
            f"{shards} shards leave some of the {peers} peers empty: restore it as it is, then"
            " `cleancut reshard start` makes more shards"
        )
