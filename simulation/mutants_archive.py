"""Archives of logs that are wrong on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from cleancut.core.archive import views
from cleancut.core.archive.bases import BaseShard, base_shard
from cleancut.core.archive.plan import ArchiveTask
from cleancut.core.archive.records import Mark, MarkRound
from cleancut.core.format.manifest import ShardEntry
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.wal.tail import WalEntry
from cleancut_agent.archive import follower
from cleancut_agent.archive.followed_log import Before, FollowedLog, open_log
from cleancut_agent.archive.follower import ArchiveFollower
from cleancut_agent.context import AgentContext
from cleancut_agent.wal.shard_tail import open_acknowledged
from cleancut_coordinator.archive import mark_taker
from simulation.mutation import Mutant, Patch


def add_misnumbered(self: FollowedLog, entries: Sequence[WalEntry], at_ms: int) -> None:
    """Leaves out the first entry of each segment but the first, and counts on."""
    at = self.tail.position
    begins = at.start if at is not None and at.start > self.said.first else -1
    kept = [entry for entry in entries if entry.index != begins]
    self.buffer.add([WalEntry(self.next + n, one.data) for n, one in enumerate(kept)], at_ms)
    self.next += len(kept)


async def count_at_once(self: ArchiveFollower) -> int:
    """A chunk counts as stored, whatever the store says."""
    try:
        _, size = await self._stream.put()
    except CleancutError:
        self._stream._made = None
        return 0
    return size


def go_on(context: AgentContext, task: ArchiveTask, before: Before | None) -> FollowedLog:
    """The chain of a log that was rewound goes on with what is there now."""
    if before is None or not before.reason.startswith("rewound"):
        return open_log(context, task, before)
    assert context.wal is not None
    directory = context.wal.open(task.collection, task.shard)
    tail, first = open_acknowledged(directory)
    said = replace(before.said, position=tail.position)
    return FollowedLog(directory, tail, said, first)


def mark_of_one(before: MarkRound | None, after: MarkRound, at_ms: int, name: str) -> Mark | None:
    """A single round counts as a standstill."""
    earlier = MarkRound(number=after.number - 1, ends=after.ends)
    mark = Mark(at_ms=at_ms, before=earlier, after=after, name=name)
    return None if mark.doubt else mark


def base_late(entry: ShardEntry) -> BaseShard:
    """Some entries behind those that the backup holds are left out."""
    base = base_shard(entry)
    return dataclasses.replace(base, first=base.first + 3)


_ARCHIVE = {"archive": True}
_HARMED = {"archive": True, "calm": False}

ARCHIVE_MUTANTS = {
    "misnumbers": Mutant(
        "an archived entry has the number that it has in the log, also after a roll",
        ("entries_are_true",),
        (Patch(FollowedLog, "add", add_misnumbered),),
        _ARCHIVE,
    ),
    "counts_at_once": Mutant(
        "a chunk counts once the store has it",
        ("claims_are_stored",),
        (Patch(ArchiveFollower, "_put_until_stored", count_at_once),),
        _HARMED,
        first=146,
    ),
    "goes_on_rewound": Mutant(
        "the chain of a log that was rewound ends",
        ("entries_are_true",),
        (Patch(follower, "open_log", go_on),),
        _HARMED,
        first=96,
    ),
    "replays_late": Mutant(
        "a moment is replayed from the first entry on that its backup may lack",
        ("moments_are_true",),
        (Patch(views, "base_shard", base_late),),
        _ARCHIVE,
    ),
    "marks_one_round": Mutant(
        "a mark is two rounds in which no log has grown",
        ("marks_are_instants",),
        (Patch(mark_taker, "mark_of", mark_of_one),),
        _ARCHIVE,
        first=1549,
    ),
}
