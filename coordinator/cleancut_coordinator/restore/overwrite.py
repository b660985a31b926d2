"""Overwrites a real collection: its own backup held, the proof that this holds all of it, and its
deletion, after which the restored data takes its name."""

from __future__ import annotations

import contextlib

from cleancut.core.primitives.errors import (
    CleancutError,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.restore.overwrite import (
    BOTH_THERE,
    KEPT_S,
    OldData,
    check_old,
    hold_reason,
    kept_backup_of,
    old_data_of,
    reading_tasks,
)
from cleancut.core.restore.report import RestoreDraft
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import load_group
from cleancut.repository.holds import drop_reason, put_reason
from cleancut_coordinator.any_peer import first_peer, first_value
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase, read_sessions
from cleancut_coordinator.leader import requests

_DRAIN_S = 30.0
_APPLY_S = 15.0
_FRESH_S = 2.0
"""How old the reading may be, and a look, at which a collection is deleted by its name."""


async def find_old(context: CoordinatorContext, draft: RestoreDraft) -> OldData:
    """What the backup that was made before this restore keeps. Raises: Refused, if there is none
    that can be relied on."""
    (planned,) = draft.planned
    name = kept_backup_of(draft.operation)
    made = await requests.find(context, name)
    if made is None or made.kind is not OperationKind.BACKUP or made.state is not State.COMMITTED:
        state = "not known" if made is None else made.state
        cause = f": {made.failure.message}" if made is not None and made.failure else ""
        raise Refused(
            f"{planned.published_as!r} is not overwritten, since its own backup {name} is"
            f" {state}{cause}",
            "nothing was changed; see why that backup failed, then restore again",
        )
    manifest = await load_group(context.store, context.paths, made.epoch)
    return old_data_of(manifest, planned.published_as)


async def hold_old(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The backup of the old data is held, and there. Repeatable.

    Raises: NotFound, Corrupt, Refused, if it is not.
    """
    if draft.old is None:
        return
    reason, epoch = hold_reason(draft.operation), draft.old.backup
    now_s = context.clock.wall_s()
    await put_reason(context.store, context.paths, epoch, reason, now_s=now_s, for_s=KEPT_S)
    await load_group(context.store, context.paths, epoch)


async def release_old(context: CoordinatorContext, draft: RestoreDraft) -> None:
    """The backup of the old data is not held any more, or not for longer than `KEPT_S`."""
    if draft.old is not None:
        reason = hold_reason(draft.operation)
        with contextlib.suppress(CleancutError):
            await drop_reason(context.store, context.paths, draft.old.backup, reason)


async def drain_old(
    context: CoordinatorContext, draft: RestoreDraft
) -> dict[AgentName, tuple[ShardTask, ...]]:
    """The old data is held and drained; who is to read which of its shards.

    Raises: Refused, if it is not what was backed up any more; Unavailable, TimedOut.
    """
    old = draft.old
    assert old is not None, "nothing is overwritten"
    await hold_old(context, draft)
    peer = await first_peer(context.peers)
    found = (await peer.telemetry()).collections.get(old.collection)
    there = await _replicas(peer, old) if found is not None else []
    check_old(old, None if found is None else found.uuid or "", there)
    sessions = (await read_sessions(context)).values()
    agents = {one.peer_id: one.name for one in sessions if one.peer_id is not None}
    tasks = reading_tasks(old, agents)
    if old.shard_ids:
        await peer.drain(old.collection, old.shard_ids, old.shard_keys, timeout_s=_DRAIN_S)
    return tasks


async def delete_old(
    context: CoordinatorContext, draft: RestoreDraft, read_s: float | None
) -> bool:
    """The old collection is gone, and the aliases that it had point to the restored one; or False,
    if it is there and was not read just now, from `read_s` on. Its backup is held, and there,
    before it is read. Repeatable. Without effect, unless the restore overwrites one.

    Order: the aliases first, since Qdrant deletes those of a collection with it.
    Raises: Refused, if it was created again meanwhile, or a replica of it is not Active; NotFound,
        Corrupt, if its backup is not there; Unavailable, TimedOut, Fenced.
    Limits: Qdrant deletes by name, see `CollectionCreator`.
    """
    old = draft.old
    if old is None:
        return True
    (planned,) = draft.planned
    knowing = await _who_shows(context, draft, old)
    if knowing is None:
        return True
    clock = context.clock
    if read_s is None or clock.monotonic_s() - read_s > _FRESH_S:
        await hold_old(context, draft)
        return False
    check_old(old, old.uuid, await _replicas(knowing, old), BOTH_THERE)
    there = await knowing.aliases()
    moved = [alias for alias, _ in planned.replaced if there.get(alias) == old.collection]
    await check_phase(context, draft.epoch, Phase.PUBLISH)
    if moved:
        await knowing.change_aliases(
            [
                {"create_alias": {"alias_name": alias, "collection_name": planned.created_as}}
                for alias in moved
            ]
        )
    if clock.monotonic_s() - read_s > _FRESH_S:
        return False
    await knowing.delete_collection(old.collection)

    async def gone() -> bool | None:
        return True if await _who_shows(context, draft, old) is None else None

    if not await first_value(context.clock, gone, _APPLY_S):
        raise TimedOut(f"collection {old.collection!r} is still there after its deletion")
    return True


async def _replicas(peer: Qdrant, old: OldData) -> list[tuple[ShardId, PeerId, str]]:
    """Where the replicas of the old collection are, with their states."""
    there = (await peer.placement(old.collection)).shards
    return [(ShardId(one.shard_id), PeerId(one.peer_id), one.state) for one in there]


async def _who_shows(
    context: CoordinatorContext, draft: RestoreDraft, old: OldData
) -> Qdrant | None:
    """A peer that shows the old collection; None, if none that answers shows any of its name.

    Raises: Refused, if there is another one, or a URL reaches several peers; Unavailable, if no
        peer answers.
    """
    told: list[tuple[str | None, Qdrant]] = []
    for peer in context.peers:
        with contextlib.suppress(Unavailable, TimedOut):
            await peer.check_one_peer()
            found = (await peer.telemetry()).collections.get(old.collection)
            told.append((None if found is None else found.uuid or "", peer))
    if not told:
        raise Unavailable("no peer answers", "start Qdrant, or correct --qdrant-url")
    if any(uuid not in {None, old.uuid} for uuid, _ in told):
        (planned,) = draft.planned
        raise Refused(
            f"a client has created {old.collection!r} again just as it was overwritten: the"
            f" restored data is in {planned.created_as!r}, and the old data in backup"
            f" {old.backup} ({old.operation})",
            f"look at what is in the new {old.collection!r}; delete it, and let an alias"
            f" {old.collection!r} point to {planned.created_as!r}",
        )
    return next((peer for uuid, peer in told if uuid is not None), None)
