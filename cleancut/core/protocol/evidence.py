"""Evidence of a group's consistency, judged from raw numbers alone.

A shard is quiet if nothing but our own drain was applied between two readings of its number.
If all shards of a group are quiet there is one instant at which every captured state was the
live state: every first reading happened before every second one (a vote of each agent and a
change of `ctl` lie between), so all intervals share an instant T, and a shard that did not change
in its interval was at T what was captured. Anything else is bounded by the skew of the cuts.

Source: Qdrant 1.18.3 lib/collection/src/telemetry.rs (update_queue.op_num), and D3.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from cleancut.core.protocol.etcd_records import Parent, Reading


class Consistency(StrEnum):
    """How consistent a backup is. POINT_IN_TIME: one instant lies in all its shards. PER_SHARD:
    each shard is consistent, and all were cut within the skew."""

    POINT_IN_TIME = "point-in-time"
    PER_SHARD = "per-shard"


def is_quiet(first: Reading, second: Reading, *, drained: bool) -> bool:
    """True if only the second drain was applied between the readings of one shard."""
    return (
        drained
        and first.number is not None
        and second.number == first.number + 1
        and bool(first.incarnation)
        and first.incarnation == second.incarnation
        and first.arrivals >= 0
        and first.arrivals == second.arrivals
    )


def doubt(first: Reading, second: Reading, *, drained: bool) -> str:
    """Why one shard is not proven quiet, for people; "" if it is (see `is_quiet`)."""
    if not drained:
        return "was not drained"
    if first.number is None or second.number is None:
        return "reported no number"
    if not first.incarnation or first.incarnation != second.incarnation:
        return "its peer restarted between the readings"
    if first.arrivals < 0 or first.arrivals != second.arrivals:
        return "something was recovered or transferred into it"
    moved = second.number - first.number - 1
    if moved < 0:
        return f"its number fell back by {-moved}"
    return f"{moved} other operation{'s' if moved > 1 else ''} applied" if moved else ""


def is_unchanged(parent: Parent, first: Reading, uuid: str) -> bool:
    """True if the parent's recipe still describes this shard, in the collection of `uuid`.

    Nothing but our own first drain was applied since the parent's second reading, in the same
    incarnation, with nothing put in its place. Order: only for a shard whose drain answered.
    """
    second = parent.second
    return (
        second.number is not None
        and first.number == second.number + 1
        and bool(first.incarnation)
        and first.incarnation == second.incarnation
        and first.arrivals == second.arrivals >= 0
        and bool(uuid)
        and uuid == parent.uuid
    )


def consistency_of(quiet: Iterable[bool]) -> Consistency:
    """That of a backup from its shards; an empty one is point-in-time (nothing can have moved)."""
    return Consistency.POINT_IN_TIME if all(quiet) else Consistency.PER_SHARD
