"""Entries of the archive: when they were written, which belong together, which depend on others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleancut.core.archive.records import Mark
from cleancut.core.archive.views import Archive
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import ShardId
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.protocol.moment import LogEntry
from cleancut.core.wal.kinds import UNKNOWN
from cleancut.core.wal.operations import Operation


@dataclass(frozen=True, slots=True)
class Window:
    """An entry was written after `start_ms`, and was there by `end_ms`."""

    start_ms: int
    end_ms: int


SLACK_MS = 2_000
"""How far apart the shards of one request may write, and the clocks of agents may be."""


def window_of(archive: Archive, chain: str, index: int) -> Window:
    """When an entry was written. Raises: NotFound, if no look shows it."""
    looks = archive.looks(chain)
    at = next((n for n, look in enumerate(looks) if look.last >= index), None)
    if at is None:
        raise NotFound(f"no look at the log shows entry {index}", "see `cleancut backup log`")
    start_ms = looks[at - 1].at_ms if at else archive.chains[chain].chain.created_at_ms
    return Window(start_ms, looks[at].at_ms)


def entries_within(archive: Archive, chain: str, window: Window) -> tuple[int, int]:
    """The first and the last entry that may have been written in this window, or shortly before or
    after it; none, if the last precedes the first."""
    looks = archive.looks(chain)
    times = [look.at_ms for look in looks]
    low = bisect_right(times, window.start_ms - SLACK_MS) - 1
    high = bisect_left(times, window.end_ms + SLACK_MS)
    first = looks[low].last + 1 if low >= 0 else 0
    for start, end in archive.chains[chain].ranges:
        if end >= first:
            last = looks[high].last if high < len(looks) else end
            return max(first, start), min(last, end)
    return 0, -1


def nearest(archive: Archive, chain: str, window: Window, indexes: Sequence[int]) -> int | None:
    """The one of these entries that was written closest to the window; the first of several."""
    middle = (window.start_ms + window.end_ms) / 2

    def distance(index: int) -> float:
        own = window_of(archive, chain, index)
        return abs((own.start_ms + own.end_ms) / 2 - middle)

    return min(indexes, key=distance, default=None)


def counted_from(
    marks: Iterable[Mark], archive: Archive, upto: Mapping[str, int], *, chain: str, index: int
) -> dict[str, int]:
    """By chain, where each of these logs ended at the newest mark before an entry of one of them;
    empty: none is archived from there `upto` the entries that are looked at. From there on,
    requests that write the same into all logs are as many in each."""
    for mark in sorted(marks, key=lambda one: one.at_ms, reverse=True):
        ends = {end.chain: end.last for end in mark.ends}
        if mark.doubt or not ends.keys() >= upto.keys() or ends[chain] >= index:
            continue
        if all(archive.chains[one].reach(ends[one] + 1) >= last for one, last in upto.items()):
            return {one: ends[one] for one in upto}
    return {}


def is_shared(operation: Operation) -> bool:
    """True for an operation by filter: the request wrote it into every shard."""
    return operation.filter is not None


def belongs(named: Operation, other: Operation) -> bool:
    """True if both may be of one request: the same operation by the same filter."""
    same = (named.kind, named.filter, named.keys) == (other.kind, other.filter, other.keys)
    return is_shared(named) and same


def found_by_time(named: LogEntry, found: Sequence[LogEntry]) -> tuple[str, ...]:
    """A warning, if entries of other shards were taken for those of one request by time alone: of
    the same request made twice, one may be of the other."""
    if not found:
        return ()
    listed = ", ".join(map(str, found))
    return (
        f"no mark says which entries are of the request of {named}; {listed} by time alone:"
        " compare them with `cleancut backup log`",
    )


def depends_on_state(operation: Operation) -> bool:
    """True if its effect depends on the points that are there: without an earlier entry it may do
    something else."""
    conditional = operation.kind in {"upsert_points_conditional", "sync_points", UNKNOWN}
    return conditional or (operation.filter is not None and not _by_id(operation.filter))


def _by_id(condition: Mapping[str, Any]) -> bool:
    """True for a filter that only names ids, such as that of a drain: it does what ids would."""
    clauses = [condition[name] for name in condition if condition[name]]
    must = condition.get("must")
    only = must[0] if isinstance(must, list) and len(must) == 1 else must
    return len(clauses) == 1 and isinstance(only, Mapping) and set(only) == {"has_id"}


def check_later(
    name: str, left_out: int, later: Iterable[tuple[int, Operation]], *, force: bool
) -> str:
    """A warning, "" for none, if entries behind the one that is left out depend on it.

    Raises: Refused, unless that is forced.
    """
    found = [(index, one.kind) for index, one in later if depends_on_state(one)]
    if not found:
        return ""
    index, kind = found[0]
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = f"{name}: entry {index} ({kind}){others} depends on what was there before it"
    if not force:
        raise Refused(
            f"{what}: without entry {left_out} that may have been other points",
            "look at them with `cleancut backup log`; --force replays them nevertheless",
        )
    return f"{what}, and without entry {left_out} may have done something else"


def parse_entry(text: str) -> LogEntry:
    """`SHARD:INDEX`. Raises: Invalid."""
    first, _, second = text.partition(":")
    shard, index = whole_number(first), whole_number(second)
    if shard is None or index is None:
        raise Invalid(
            f"{text!r} does not have the form SHARD:INDEX", "see `cleancut backup log`, e.g. 2:284"
        )
    return LogEntry(shard_id=ShardId(shard), index=index)
