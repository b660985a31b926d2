"""Evidence of a group's consistency, judged from raw numbers alone.

A shard is quiet if nothing but our own drain was applied between two readings of its number.
If all shards of a group are quiet there is one instant at which every captured state was the
live state: every first reading happened before every second one (a vote of each agent and a
change of `ctl` lie between), so all intervals share an instant T, and a shard that did not change
in its interval was at T what was captured. Anything else is bounded by the skew of the cuts.

A number says this only of a shard that is whole and the same: Qdrant applies a failed operation
again without a new number, a dropped and remade shard counts from the start, and a snapshot that
is taken while an optimization runs lacks the deletes made since that began. So the state of the
shard is part of each reading, and what is not understood is a doubt.

Under writes no shard stays quiet for as long as that. Where agents can read the log of each shard
(its WAL), the backup is rolled forward instead: the logs are read in rounds, and two rounds between
which none has grown hold one instant T as well. A shard is then stored as it was cut, with the
entries up to T, which Qdrant replays at a restore (D16). If none is found, each shard is stored
with its log to the end in the last round: all of these ends were read between two votes.

Source: Qdrant 1.18.3 lib/collection/src/telemetry.rs (update_queue.op_num), D3, D14 and D16.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from cleancut.core.protocol.etcd_records import Parent, Reading, ShardState, Standstill


class Consistency(StrEnum):
    """How consistent a backup is. POINT_IN_TIME: one instant lies in all its shards. PER_SHARD:
    each shard is consistent, and all were cut within the skew. IMPORTED: made of snapshots, so
    nothing is known of when each shard was as it is stored."""

    POINT_IN_TIME = "point-in-time"
    PER_SHARD = "per-shard"
    IMPORTED = "imported"


SOUND = frozenset({"green", "yellow", "grey"})
"""Statuses of a shard without failed operations or failed optimizations; Qdrant's words.

Source: lib/collection/src/shards/local_shard/mod.rs (local_shard_status), Qdrant 1.18.3
"""


def only_drained(first: Reading, second: Reading) -> bool:
    """True if exactly one operation, our drain, was counted between the readings of one shard."""
    return _moved(first, second) == ""


def is_quiet(first: Reading, second: Reading, *, drained: bool) -> bool:
    """True if only the second drain was applied between the readings of one shard."""
    return doubt(first, second, drained=drained) == ""


def doubt(first: Reading, second: Reading, *, drained: bool) -> str:
    """Why one shard is not proven quiet, for people; "" if it is (see `is_quiet`)."""
    if not drained:
        return "was not drained"
    return _moved(first, second) or _state_doubt(first.state, second.state)


def first_needed(ack: int, first: Reading) -> int:
    """The first entry of its log that has to be replayed on a shard that was cut after both.

    All before `ack` is in the files; from there on entries may be, or be only in part, which their
    versions make harmless. None may be missing: a snapshot that is taken during an optimization
    lacks deletes made since that began, and these are not acknowledged before it ends.
    """
    return ack if first.number is None else min(ack, first.number + 1)


def writes_between(first: Reading, second: Reading, *, drained: bool) -> bool:
    """True if other operations than our drain were applied between the readings, so that what was
    cut may hold some of them already, and a replay applies these once more."""
    if first.number is None or second.number is None:
        return False
    return second.number - first.number > (1 if drained else 0)


def standstill_doubt(first: Reading, second: Reading, still: Standstill, *, drained: bool) -> str:
    """Why what is stored of one shard is not proven to be its state at the standstill, for people;
    "" if it is. Order: every `before` was read before every `after`, and after both readings."""
    if still.before != still.after:
        return "its log grew or was replaced between the rounds"
    return rolled_doubt(first, second, still, drained=drained)


def rolled_doubt(first: Reading, second: Reading, still: Standstill, *, drained: bool) -> str:
    """Why what is stored of one shard is not proven to be its state where its log ended in the
    last round, for people; "" if it is. Whether other shards stood still at that moment is another
    question."""
    if still.before.log != still.after.log:
        return "its log was replaced between the rounds"
    if second.number is None or still.after.index < second.number:
        return "its log ends before what was applied"
    if still.first < 0:
        moved = still.after.index - second.number
        was_applied = f"{moved} operation{'s' if moved > 1 else ''} applied after it was cut"
        return doubt(first, second, drained=drained) or (was_applied if moved else "")
    return _log_doubt(first, second, still)


def _log_doubt(first: Reading, second: Reading, still: Standstill) -> str:
    """Why a base with the stored entries is not proven to be the state at their end, or ""."""
    if first.number is None or not 0 <= still.first <= first_needed(still.ack, first):
        return "its log is stored from too late an entry on"
    if not first.incarnation or first.incarnation != second.incarnation:
        return "its peer restarted between the readings"
    if first.arrivals < 0 or first.arrivals != second.arrivals:
        return "something was recovered or transferred into it"
    for state in (first.state, second.state):
        if state is None or state.status not in SOUND:
            return f"its status is {(state.status if state else '') or 'unknown'}"
    return ""


def _moved(first: Reading, second: Reading) -> str:
    if first.number is None or second.number is None:
        return "reported no number"
    if not first.incarnation or first.incarnation != second.incarnation:
        return "its peer restarted between the readings"
    if first.arrivals < 0 or second.arrivals < 0:
        return "what was recovered or transferred into it is unknown"
    if first.arrivals != second.arrivals:
        return "something was recovered or transferred into it"
    moved = second.number - first.number - 1
    if moved < 0:
        return f"its number fell back by {-moved}"
    return f"{moved} other operation{'s' if moved > 1 else ''} applied" if moved else ""


def _state_doubt(first: ShardState | None, second: ShardState | None) -> str:
    """Why the numbers alone prove nothing, or ""."""
    if first is None or second is None:
        return "its state is unknown"
    for state in (first, second):
        if state.status not in SOUND:
            return f"its status is {state.status or 'unknown'}"
        if state.optimizing < 0:
            return "its optimizations are unknown"
        if state.optimizing:
            return "an optimization was under way"
    if first.optimized_at != second.optimized_at:
        return "an optimization began between the readings"
    if not first.segment:
        return "its segments are unknown"
    return "" if first.segment == second.segment else "its segments were replaced"


def is_same(before: Reading, after: Reading) -> bool:
    """True if nothing at all was counted between two readings of one shard."""
    return (
        before.number == after.number
        and before.incarnation == after.incarnation
        and before.arrivals == after.arrivals
        and before.state is not None
        and after.state is not None
        and before.state.segment == after.state.segment
        and after.state.status in SOUND
    )


def is_unchanged(parent: Parent, first: Reading, uuid: str) -> bool:
    """True if the parent's recipe still describes this shard, in the collection of `uuid`.

    Nothing but our own first drain was applied since the parent's second reading, in the same
    incarnation, with nothing put in its place, and it still has the segment that the parent named:
    a shard that was dropped and made again has none of it. Optimizations since then are no change,
    as long as none was under way at either end.
    Order: only for a shard whose drain answered.
    """
    before, now = parent.second.state, first.state
    if before is None or now is None or not now.segment or before.segment != now.segment:
        return False
    whole = all(one.status in SOUND and one.optimizing == 0 for one in (before, now))
    return whole and only_drained(parent.second, first) and bool(uuid) and uuid == parent.uuid


def consistency_of(quiet: Iterable[bool]) -> Consistency:
    """That of a backup from its shards; an empty one is point-in-time (nothing can have moved)."""
    return Consistency.POINT_IN_TIME if all(quiet) else Consistency.PER_SHARD
