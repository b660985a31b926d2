"""One shard's log, followed for the archive: opened as the chain it was, or as a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from cleancut.core.archive.following import RESTARTED, Buffer, why_not_continued
from cleancut.core.archive.plan import ArchiveTask, FollowedShard
from cleancut.core.archive.records import Chain, ChainEnd, MarkEnd
from cleancut.core.primitives.errors import Refused, Unavailable
from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.tail import Cause, WalEntry
from cleancut.ports.wal_dir import WalDir
from cleancut_agent.context import AgentContext
from cleancut_agent.wal.shard_tail import ShardTail, TailBroken, open_acknowledged

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Before:
    """A chain that a new one follows. `reason`: why it broke; "": it may be continued. `said`: what
    was known of it."""

    said: FollowedShard
    reason: str = ""


@dataclass(slots=True)
class FollowedLog:
    """`said`: what etcd holds of it. `new`: its chain, if no record of that is stored yet; `ended`:
    the end of the one before it, if that is not known. `next`: the index of the next entry.
    `pending_ms`: when the oldest entry was read of those that are being stored; 0: none is."""

    directory: WalDir
    tail: ShardTail
    said: FollowedShard
    next: int
    new: Chain | None = None
    ended: ChainEnd | None = None
    buffer: Buffer = field(default_factory=Buffer)
    pending_ms: int = 0
    end: ChainEnd | None = None

    @property
    def seen(self) -> int:
        """The newest entry that was read, or is known from before."""
        return max(self.said.last, -1 if self.tail.last is None else self.tail.last)

    @property
    def waits(self) -> bool:
        """Whether anything that was read is not stored."""
        return bool(self.buffer.since_ms or self.pending_ms)

    def add(self, entries: Sequence[WalEntry], at_ms: int) -> None:
        """Raises: TailBroken, unless they come next."""
        if entries and entries[0].index != self.next:
            what = f"entry {entries[0].index} came instead of {self.next}"
            raise TailBroken(Cause.NUMBERING, what)
        self.buffer.add(entries, at_ms)
        self.next += len(entries)

    def mark_end(self, peer: PeerId) -> MarkEnd:
        return MarkEnd(
            collection=self.said.collection,
            shard=self.said.shard,
            peer=peer,
            chain=self.said.chain,
            last=self.seen,
        )

    def state(self) -> FollowedShard:
        waiting = [at for at in (self.buffer.since_ms, self.pending_ms) if at]
        return replace(self.said, seen=self.seen, behind_ms=min(waiting, default=0))


def open_log(context: AgentContext, task: ArchiveTask, before: Before | None) -> FollowedLog:
    """The log of the task's shard: the chain of `before` if it is proven to be the same log, else a
    new one, from the first entry on that may not be flushed yet.

    Raises: NotFound, Unavailable, TailBroken.
    """
    assert context.wal is not None
    reason = before.reason if before else ""
    if before is not None and not reason:
        if before.said.uuid != task.uuid:
            reason = f"collection {task.collection!r} was made again"
        else:
            try:
                return resume_log(context, before.said)
            except Refused as refused:
                reason = refused.message
    directory = context.wal.open(task.collection, task.shard)
    tail, first = open_acknowledged(directory)
    chain = _new_chain(context, task, str(directory.identity), first)
    ended = None
    if before is not None:
        chain = replace(chain, after=before.said.chain, reason=reason)
        if not before.reason:
            ended = ChainEnd(
                chain=before.said.chain,
                last=before.said.last,
                at_ms=chain.created_at_ms,
                reason=f"{RESTARTED}: {reason}",
            )
    said = FollowedShard(
        collection=task.collection,
        shard=task.shard,
        uuid=task.uuid,
        log=chain.log,
        chain=chain.id,
        first=chain.first,
        position=tail.position,
    )
    return FollowedLog(directory, tail, said, chain.first, new=chain, ended=ended)


def resume_log(context: AgentContext, known: FollowedShard) -> FollowedLog:
    """The log of the chain `known`, behind what is stored of it.

    Raises: NotFound, Unavailable; Refused, unless it is proven to be the same log.
    """
    assert context.wal is not None
    directory = context.wal.open(known.collection, known.shard)
    reason = why_not_continued(known, str(directory.identity))
    if reason:
        directory.close()
        raise Refused(reason, "begin a new chain")
    tail = ShardTail.open(directory, first=known.first, resume=known.position)
    following = known.first if known.last < 0 else known.last + 1
    return FollowedLog(directory, tail, known, following)


def _new_chain(context: AgentContext, task: ArchiveTask, log: str, first: int) -> Chain:
    return Chain(
        id=context.token_hex(12),
        cluster=context.keys.cluster,
        agent=context.name,
        peer=task.peer,
        collection=task.collection,
        collection_uuid=task.uuid,
        shard=task.shard,
        shard_key=task.shard_key,
        log=log,
        boot_id=read_boot_id(),
        first=first,
        created_at_ms=int(context.clock.wall_s() * 1000),
    )


def check_in_place(log: FollowedLog) -> None:
    """Raises: Unavailable, if another directory has taken the place of the one that was opened."""
    if not log.directory.in_place():
        raise Unavailable("its log was replaced while it was opened", "it is opened again")


def read_boot_id() -> str:
    """Of this machine; "" if it is not known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
