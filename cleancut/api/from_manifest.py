"""A group as the API shows it, from its manifest alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cleancut.api.backups import (
    Backup,
    BackupBytes,
    BackupCheck,
    CollectionBytes,
    Evidence,
    FenceEvidence,
    MissingCollection,
    ShardEvidence,
)
from cleancut.api.values import Attempt, OperationError, PhaseTime
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.story import BackupStory
from cleancut.core.format.timeline import phases_of
from cleancut.core.primitives.errors import CleancutError, Corrupt
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_second, parse_time, to_second
from cleancut.core.protocol.fence import FenceFacts
from cleancut.core.protocol.states import State
from cleancut.core.protocol.trace import Trace
from cleancut.core.verification.damage import NO_DAMAGE, Damage, LogEntry

_IMPORTED = "was imported from a snapshot"


def shown_group(
    manifest: Manifest, *, with_shards: bool = True, damage: Damage = NO_DAMAGE
) -> Backup:
    """The committed backup that `manifest` describes; its consistency is recomputed, not
    believed."""
    damaged, story = damage.of(manifest), manifest.story or BackupStory()
    return Backup(
        id=manifest.operation,
        epoch=manifest.epoch,
        state=State.DAMAGED if damaged else State.COMMITTED,
        damage=damaged,
        created_at=to_second(story.asked_at),
        cut_at=to_second(manifest.cut_at),
        asked_by=story.asked_by,
        attempt_history=shown_attempts(story.traces) if with_shards else (),
        collection_bytes=_by_collection(manifest) if with_shards else (),
        collections=tuple(entry.name for entry in manifest.collections),
        aliases=manifest.aliases,
        warnings=manifest.warnings,
        schedule=manifest.schedule,
        labels=manifest.labels,
        keep_until=_end_of(manifest),
        missing=tuple(
            MissingCollection(name=one.name, reason=one.reason) for one in manifest.missing
        ),
        evidence=shown_evidence(manifest, with_shards=with_shards),
        bytes=BackupBytes(
            protected=sum(shard.size_bytes for shard in manifest.shards),
            new=sum(shard.new_bytes for shard in manifest.shards),
            stored=sum(shard.stored_bytes for shard in manifest.shards),
            streamed=sum(shard.read.streamed_bytes for shard in manifest.shards),
            disk=sum(shard.read.direct_bytes for shard in manifest.shards),
        ),
    )


def _end_of(manifest: Manifest) -> str | None:
    """When its own life is over; None, if it has none, or an invalid time."""
    if not manifest.life_s or not manifest.cut_at:
        return None
    try:
        return format_second(parse_time(manifest.cut_at) + manifest.life_s)
    except Corrupt:
        return None


def shown_attempts(traces: Sequence[Trace]) -> tuple[Attempt, ...]:
    """What is recorded of each attempt, the oldest first."""
    return tuple(
        Attempt(
            epoch=trace.epoch,
            began_at=to_second(trace.began_at),
            duration_ms=trace.ended_ms if trace.ended_ms >= 0 else None,
            phases=tuple(
                PhaseTime(phase=band.phase, start_ms=band.start_ms, duration_ms=band.duration_ms)
                for band in phases_of(trace)
            ),
            error=OperationError(reason=trace.reason, message=trace.message)
            if trace.reason
            else None,
        )
        for trace in traces
    )


def _by_collection(manifest: Manifest) -> tuple[CollectionBytes, ...]:
    return tuple(
        CollectionBytes(
            name=entry.name,
            shards=len(shards),
            protected=sum(shard.size_bytes for shard in shards),
            new=sum(shard.new_bytes for shard in shards),
            stored=sum(shard.stored_bytes for shard in shards),
        )
        for entry in manifest.collections
        for shards in [manifest.shards_of(entry.name)]
    )


def shown_checks(entries: Iterable[LogEntry], epoch: Epoch) -> tuple[BackupCheck, ...]:
    """Those of one backup, the newest first."""
    mine = sorted((one for one in entries if one.epoch == epoch), key=lambda one: -one.at_s)
    return tuple(
        BackupCheck(at=format_second(one.at_s), kind=one.kind, level=one.level, good=one.good)
        for one in mine
    )


def shown_corrupt(epoch: Epoch, error: CleancutError) -> Backup:
    """A backup of which no more is known than that its manifest cannot be read."""
    return Backup(
        id="",
        epoch=epoch,
        state=State.CORRUPT,
        error=OperationError(reason=error.reason, message=error.message, hint=error.hint),
    )


def shown_evidence(manifest: Manifest, *, with_shards: bool) -> Evidence:
    """The raw numbers of all shards, in the manifest's order, and what follows from them."""
    shards = tuple(
        ShardEvidence(
            collection=shard.collection,
            shard_id=shard.shard_id,
            peer_id=shard.peer_id,
            ops_before=shard.first.number,
            ops_after=shard.second.number,
            unchanged=shard.quiet,
            points=shard.count,
            drained=shard.drained,
            doubt=_IMPORTED if manifest.imported is not None else shard.doubt,
            rolled_to=shard.last_entry if shard.last_entry >= 0 else None,
            audit=shard.audit,
            agent=shard.agent,
        )
        for shard in (manifest.shards if with_shards else ())
    )
    return Evidence(
        consistency=manifest.consistency,
        fenced=manifest.fenced,
        skew_ms=manifest.skew_ms if manifest.skew_ms >= 0 else None,
        shards=shards,
        sample_queries=len(manifest.canaries),
        fence=_shown_fence(manifest.fence),
    )


def _shown_fence(fence: FenceFacts | None) -> FenceEvidence | None:
    if fence is None:
        return None
    seen = fence.seen if fence.aliases else ()  # nothing on a peer shows what a hook did
    return FenceEvidence(
        aliases=tuple(entry.alias for entry in fence.aliases),
        hooked=fence.hooked,
        seen_by=tuple(one.agent for one in seen if one.before and one.after),
        held_ms=fence.held_ms if fence.held_ms >= 0 else None,
    )
