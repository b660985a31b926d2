"""Overwriting a real collection: what of the old data is kept, and the proof that all of it is.

The restored data lies beside it and is verified; the old data is a backup of its own, made before
the restore. Nothing may have been written since then when the old collection is deleted: each of
its shards is drained once more, and has to stand exactly one operation, that drain, past what the
backup holds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Failure, Parent, Reading, ShardTask
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import Phase
from cleancut.core.protocol.votes import Members, Votes

KEPT_S = 7 * 86400.0
"""How long the backup of the old data is held at least, once the collection is overwritten."""
_SHOWN = 5
AGAIN = (
    "nothing was deleted, and the restored data was dropped: keep writers and other backups away"
    " from the collection until the restore is done, then restore again"
)
BOTH_THERE = (
    "nothing was deleted: the old data is where it was, with all writes, and what was restored lies"
    " beside it. See which aliases point to it, delete it, keep writers away, then restore again"
)
UNREAD = Failure(
    reason="UNAVAILABLE",
    message="a shard of what is to be overwritten cannot be read just before its deletion",
    hint=BOTH_THERE,
)
NOT_DECIDED = Failure(
    reason="UNAVAILABLE",
    message="the leading coordinator changed just before the collection was to be overwritten",
    hint="nothing was deleted, and the restored data was dropped: restore again",
)
NOT_IN_TIME = Failure(
    reason="UNAVAILABLE",
    message="came after the restore had begun, and a shard that is overwritten lies at its peer",
    hint=AGAIN,
)


class OldShard(Record, frozen=True):
    """Where a shard of the old data stood: the number of the last operation that is kept of it."""

    shard_id: ShardId
    peer_id: PeerId
    number: int
    incarnation: str


class OldData(Record, frozen=True):
    """The collection that is overwritten, by its uuid, and `backup`, which holds all of it."""

    collection: str
    uuid: str
    backup: Epoch
    operation: OperationId
    shard_ids: tuple[ShardId, ...]
    shard_keys: tuple[tuple[str | int, tuple[ShardId, ...]], ...]
    shards: tuple[OldShard, ...]


@dataclass(frozen=True, slots=True)
class DrainOld:
    """Hold the backup of the old data, and drain the old collection once. Result: the tasks of the
    agents that are to read its shards. Order: not repeatable, since the drain is counted."""

    epoch: Epoch
    draft: str


def kept_backup_of(restore: OperationId) -> OperationId:
    """The id of the backup that is made before this restore, of what it overwrites."""
    return OperationId(f"b-{restore.partition('-')[2]}")


def hold_reason(restore: OperationId) -> str:
    """The reason for which that backup is held."""
    return f"overwrite-{restore}"


def old_data_of(manifest: Manifest, name: str) -> OldData:
    """What this backup keeps of the collection. Raises: Refused, unless it holds all of it as of
    one instant, and says which collection it was; NotFound."""
    entry = manifest.collection(name)
    if manifest.consistency is not Consistency.POINT_IN_TIME or manifest.missing:
        raise Refused(f"backup #{manifest.epoch}, of what is overwritten, is not point-in-time")
    if not entry.uuid:
        raise Refused(*NO_UUID)
    return OldData(
        collection=name,
        uuid=entry.uuid,
        backup=manifest.epoch,
        operation=manifest.operation,
        shard_ids=entry.shard_ids,
        shard_keys=entry.shard_keys,
        shards=tuple(_old_shard(shard) for shard in manifest.shards_of(name)),
    )


NO_UUID = (
    "this Qdrant gives collections no uuid, so that one that is created again would look"
    " like the one that is overwritten",
    "delete the collection once it is backed up, then restore without --overwrite",
)


def _old_shard(shard: ShardEntry) -> OldShard:
    """By its second reading: what its log holds after that is kept too, but an index of the log is
    not always the number of the same operation, and one too many would hide a write."""
    number = shard.second.number
    assert number is not None, "a shard without a number is not point-in-time"
    return OldShard(
        shard_id=shard.shard_id,
        peer_id=shard.peer_id,
        number=number,
        incarnation=shard.second.incarnation,
    )


def reading_tasks(
    old: OldData, agents: Mapping[PeerId, AgentName]
) -> dict[AgentName, tuple[ShardTask, ...]]:
    """What each agent reads. Raises: Refused, if a shard's peer has no agent any more."""
    tasks: dict[AgentName, list[ShardTask]] = {}
    for shard in old.shards:
        if shard.peer_id not in agents:
            raise Refused(
                f"shard {shard.shard_id} of {old.collection!r} was backed up at peer"
                f" {shard.peer_id}, which has no agent now",
                AGAIN,
            )
        reading = Reading(number=shard.number, incarnation=shard.incarnation)
        tasks.setdefault(agents[shard.peer_id], []).append(
            ShardTask(
                collection=old.collection,
                shard_id=shard.shard_id,
                peer_id=shard.peer_id,
                parent=Parent(second=reading, uuid=old.uuid),
                uuid=old.uuid,
            )
        )
    return {agent: tuple(given) for agent, given in tasks.items()}


def check_old(
    old: OldData,
    uuid: str | None,
    replicas: Sequence[tuple[ShardId, PeerId, str]],
    hint: str = AGAIN,
) -> None:
    """Raises: Refused, unless the collection is still the one that was backed up, each shard lies
    where it was cut, and no replica of it misses writes."""
    if uuid != old.uuid:
        what = "was deleted" if uuid is None else "was created again"
        raise Refused(f"collection {old.collection!r} {what} since it was backed up", hint)
    if {shard for shard, _, _ in replicas} != set(old.shard_ids):
        raise Refused(f"the shards of {old.collection!r} changed since it was backed up", hint)
    there = {(shard, peer) for shard, peer, state in replicas if state == ACTIVE}
    for shard, peer, state in replicas:
        if state != ACTIVE:
            raise Refused(
                f"a replica of shard {shard} of {old.collection!r} at peer {peer} is {state}", hint
            )
    for one in old.shards:
        if (one.shard_id, one.peer_id) not in there:
            raise Refused(
                f"shard {one.shard_id} of {old.collection!r} was moved since it was backed up",
                hint,
            )


def with_old(members: Members) -> Members:
    """Those of `members` that read shards of the old data."""
    return {name: member for name, member in members.items() if member.old}


def written_since(
    members: Members, votes: Votes, phase: Phase = Phase.STANDSTILL, hint: str = AGAIN
) -> Failure | None:
    """Why the kept backup is not proven, by the readings of `phase`, to hold all of the old data;
    None if it is.

    What was recovered at its peer does not count: this very restore has done that.
    """
    doubts = list(_doubts(members, votes, phase))
    if not doubts:
        return None
    more = f"; and {len(doubts) - _SHOWN} more" * (len(doubts) > _SHOWN)
    return Failure(
        reason="REFUSED",
        message="the collection was not overwritten, since its backup may lack writes: "
        + "; ".join(doubts[:_SHOWN])
        + more,
        hint=hint,
    )


def is_unread(members: Members, votes: Votes) -> bool:
    """True if some shard had no number in the last reading: the collection may be gone by now."""
    return any(None in votes[Phase.PUBLISH.value, name].numbers for name in with_old(members))


def _doubts(members: Members, votes: Votes, phase: Phase) -> Iterator[str]:
    for name, member in sorted(with_old(members).items()):
        vote = votes[phase.value, name]
        numbers = vote.numbers if len(vote.numbers) == len(member.old) else [None] * len(member.old)
        for task, number in zip(member.old, numbers, strict=True):
            if doubt := _doubt(task, number, vote.incarnation):
                at = f"{name} (peer {task.peer_id})"
                yield f"shard {task.shard_id} of {task.collection!r} at {at} {doubt}"


def _doubt(task: ShardTask, number: int | None, incarnation: str) -> str:
    assert task.parent is not None
    kept = task.parent.second
    if number is None or kept.number is None:
        return "reported no number"
    if not kept.incarnation or incarnation != kept.incarnation:
        return "was restarted since"
    moved = number - kept.number - 1
    if moved < 0:
        return f"fell back by {-moved}"
    return f"applied {moved} other operation{'s' if moved > 1 else ''} since" if moved else ""
