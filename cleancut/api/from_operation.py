"""Operations as the API shows them, from their records in etcd alone. Pure.

What runs now and what ended long ago are shown by the same code; callers add what they read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from cleancut.api.asked import read_asked
from cleancut.api.backups import Backup, BackupBytes, Seed
from cleancut.api.from_manifest import shown_attempts
from cleancut.api.operations import shown_error
from cleancut.api.rebalances import BalancedPeer, BalanceStep, Rebalance
from cleancut.api.reshards import Reshard, ReshardStep
from cleancut.api.restores import (
    OverwrittenCollection,
    Restore,
    RestoredCollection,
    RestoredLog,
    RestoredMoment,
)
from cleancut.api.undeletes import Undelete, UndeleteShard
from cleancut.api.values import to_value
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_second, to_second
from cleancut.core.protocol.documents import RestoredShard
from cleancut.core.protocol.etcd_records import Operation, Seeded
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.followers import waits_for_reshards
from cleancut.core.protocol.moment import Moment
from cleancut.core.protocol.requests import (
    BackupRequest,
    ImportRequest,
    RebalanceRequest,
    ReshardRequest,
    RestoreRequest,
    SeedRequest,
    UndeleteRequest,
)
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.rebalance.phases import RebalanceDraft
from cleancut.core.rebalance.plan import BalancePlan, Step
from cleancut.core.reshard.phases import ReshardDraft
from cleancut.core.reshard.plan import ReshardStep as PlannedStep
from cleancut.core.restore.overwrite import kept_backup_of
from cleancut.core.undelete.phases import ShardProgress, UndeleteDraft
from cleancut.core.undelete.plan import PlannedShard


def backup_from(operation: Operation) -> Backup:
    """A backup, an import or a seed."""
    if operation.kind is OperationKind.SEED:
        return _seed_from(operation)
    request, unread = _asked_backup(operation)
    return Backup(
        id=operation.id,
        epoch=operation.epoch,
        state=operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        collections=request.collections,
        attempt=max(operation.counted, min(operation.attempts, 1)),
        attempts=request.attempts,
        schedule=request.schedule,
        labels=request.labels,
        asked_by=operation.asked_by,
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        warnings=unread,
    )


def _asked_backup(operation: Operation) -> tuple[BackupRequest, tuple[str, ...]]:
    """What was asked for; of an import as if for a backup of its collection. With warnings."""
    if operation.kind is not OperationKind.IMPORT:
        return read_asked(operation, BackupRequest, BackupRequest())
    nothing = ImportRequest(import_id="", draft="")
    asked, unread = read_asked(operation, ImportRequest, nothing)
    named = (asked.collection,) if asked.collection else ()
    return BackupRequest(collections=named, attempts=asked.attempts), unread


def _seed_from(operation: Operation) -> Backup:
    request, unread = read_asked(operation, SeedRequest, SeedRequest())
    done = operation.seeded or Seeded()
    return Backup(
        id=operation.id,
        epoch=operation.epoch,
        state=operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        collections=request.collections,
        bytes=BackupBytes(new=done.new_bytes, stored=done.stored_bytes),
        attempt=operation.attempts,
        attempts=request.attempts,
        asked_by=operation.asked_by,
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        warnings=unread,
        seed=Seed(streams=request.streams, shards=done.shards, read=done.read_bytes),
    )


def restore_from(operation: Operation, request: RestoreRequest, unread: tuple[str, ...]) -> Restore:
    """`request`, `unread`: as `read_asked` gives them."""
    kept = kept_backup_of(operation.id)
    return Restore(
        id=operation.id,
        backup_epoch=request.backup,
        state=State.RESHARDING if waits_for_reshards(operation) else operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        collections=tuple(RestoredCollection(name=name) for name in request.collections),
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        moment=shown_moment(request.target) if request.target is not None else None,
        overwritten=OverwrittenCollection(collection=request.collections[0], backup_id=kept)
        if request.overwrite
        else None,
        warnings=unread,
    )


def rebalance_from(operation: Operation) -> Rebalance:
    request, unread = read_asked(operation, RebalanceRequest, RebalanceRequest())
    return Rebalance(
        id=operation.id,
        state=operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        after=request.after,
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        warnings=unread,
    )


def reshard_from(operation: Operation) -> Reshard:
    request, unread = read_asked(operation, ReshardRequest, ReshardRequest(collection="", shards=0))
    return Reshard(
        id=operation.id,
        state=operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        collection=request.collection,
        shard_key=request.shard_key,
        shards=operation.reached,
        wanted=request.shards,
        after=request.after,
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        warnings=unread,
    )


def undelete_from(operation: Operation) -> Undelete:
    nothing = UndeleteRequest(backup=Epoch(0), collection="", into="")
    request, unread = read_asked(operation, UndeleteRequest, nothing)
    return Undelete(
        id=operation.id,
        state=operation.state,
        created_at=to_second(operation.created_at),
        ended_at=to_second(operation.ended_at),
        backup_epoch=request.backup,
        collection=request.collection,
        into=request.into,
        overwrite=request.overwrite,
        count_only=request.count_only,
        restored=operation.reached,
        attempt_history=shown_attempts(operation.traces),
        error=shown_error(operation.failure),
        warnings=unread,
    )


def with_shards(shown: Undelete, draft: UndeleteDraft) -> Undelete:
    """`shown`, with what was planned and done."""
    at = {one.shard_id: one for one in draft.shards}
    absent = sum(one.absent for one in draft.shards)
    warnings = (*shown.warnings, *draft.plan.notes)
    if absent:
        warnings = (*warnings, f"{absent:,} points were not there after they were put back")
    selected = sum(one.settled for one in draft.shards)
    missing = sum(one.missing for one in draft.shards)
    differing = sum(one.differing for one in draft.shards)
    return replace(
        shown,
        selected=selected,
        present=selected - missing - differing,
        missing=missing,
        differing=differing,
        restored=sum(one.restored for one in draft.shards),
        absent=absent,
        shards=tuple(shard_of(one, at.get(one.shard_id)) for one in draft.plan.shards),
        warnings=warnings,
    )


def shard_of(shard: PlannedShard, at: ShardProgress | None = None) -> UndeleteShard:
    return UndeleteShard(
        shard_id=shard.shard_id,
        shard_key=None if shard.shard_key is None else str(shard.shard_key),
        agent=shard.agent,
        points=shard.points,
        size_bytes=shard.size_bytes,
        selected=at.settled if at is not None else 0,
        done=at is not None and at.done,
    )


def with_moves(
    shown: Rebalance, draft: RebalanceDraft, done: Collection[Step] | None = None
) -> Rebalance:
    """`shown`, with what was planned and counted. `done`: the steps that are, while they are made;
    None: not known."""
    warnings = (*shown.warnings, *draft.plan.notes)
    if shown.state in {State.VERIFYING, State.DONE}:
        done = draft.plan.steps
    elif shown.state is not State.MOVING:
        done = None
    steps = moves_of(draft.plan, draft.shards, done)
    return replace(shown, steps=steps, peers=peers_of(draft.plan), warnings=warnings)


def moves_of(
    plan: BalancePlan,
    shards: Sequence[RestoredShard] = (),
    done: Collection[Step] | None = None,
) -> tuple[BalanceStep, ...]:
    """The steps of a plan, with the points of `shards` that were counted, and whether each is
    `done`."""
    counts = {(s.collection, s.shard_id, int(s.peer_id)): s.count for s in shards}
    return tuple(
        to_value(
            BalanceStep,
            step,
            source_peer_id=step.source,
            target_peer_id=step.target,
            count=counts.get((step.collection, int(step.shard_id), int(step.target or 0))),
            done=None if done is None else step in done,
        )
        for step in plan.steps
    )


def peers_of(plan: BalancePlan) -> tuple[BalancedPeer, ...]:
    return tuple(to_value(BalancedPeer, peer) for peer in plan.peers)


def step_of(step: PlannedStep) -> ReshardStep:
    """A step that is still to be made."""
    return ReshardStep(
        shards=step.shards,
        shard_id=step.shard_id,
        peer_ids=tuple(step.peers),
        size_bytes=step.size_bytes,
    )


def with_steps(shown: Reshard, draft: ReshardDraft) -> Reshard:
    """`shown`, with what was planned and done."""
    warnings = (*shown.warnings, *draft.plan.notes)
    return replace(shown, steps=_steps_of(draft), warnings=warnings)


def _steps_of(draft: ReshardDraft) -> tuple[ReshardStep, ...]:
    """Those that were made, then those that are left."""
    done = [
        ReshardStep(
            shards=one.shards,
            shard_id=one.shard_id,
            done=True,
            points=one.points,
            seconds=one.seconds,
        )
        for one in draft.done
    ]
    left = draft.plan.steps[1:] if draft.ended else draft.plan.steps
    return (*done, *map(step_of, left))


def shown_moment(moment: Moment) -> RestoredMoment:
    return RestoredMoment(
        at=format_second(moment.at_ms / 1000),
        at_ms=moment.at_ms,
        mark=moment.mark,
        consistency=Consistency.POINT_IN_TIME if moment.instant else Consistency.PER_SHARD,
        skew_ms=moment.skew_ms,
        distance_ms=moment.distance_ms,
        operations=moment.entries,
        log_bytes=moment.log_bytes,
        replay_s=moment.replay_s,
        logs=tuple(to_value(RestoredLog, shard) for shard in moment.shards),
    )
