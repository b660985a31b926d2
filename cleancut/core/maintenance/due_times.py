"""Due times of a schedule: which passed without anything being started, and which were handled.
Pure.

What was started leaves an operation; what was not is written into the schedule's own record, in
runs of times that follow one another, so that little is to be kept.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.core.maintenance.schedule import (
    CronTimes,
    Missed,
    Reset,
    ScheduleState,
    Skip,
    Start,
)
from cleancut.core.primitives.timestamps import format_time, parse_time

SHOWN_S = 30 * 86400.0
MOST_TIMES = 124
"""Times in 30 days that are looked at one by one: those of every six hours."""
MOST_RUNS = 100
_COUNTED = 2000
OVERTAKEN = "a later time came before anything could begin"


class DueTime(NamedTuple):
    """One time: when its start came, and why none was made; "" if one was, or may have been.
    `handled`: a leader has dealt with it, and it is known how; `waits`: none has yet."""

    at_s: float
    start_s: float
    missed: str = ""
    handled: bool = False
    waits: bool = False


class DueTimes(NamedTuple):
    """Of the last 30 days, oldest first; `times` is empty where there are too many. `missed`: the
    runs of them for which nothing was started."""

    times: tuple[DueTime, ...] = ()
    missed: tuple[Missed, ...] = ()


def with_missed(
    before: ScheduleState | None,
    after: ScheduleState,
    clockwork: CronTimes,
    verdict: Reset | Skip | Start,
) -> ScheduleState:
    """`after`, with the times that `verdict` passes over. Limits: the newest 100 runs are kept, and
    of times that passed at once 2,000 counted."""
    if before is None or isinstance(verdict, Reset):
        return replace(after, told_since=after.seen)
    due_s, runs = verdict.due_s, list(before.missed)
    following = islice(clockwork.following(parse_time(before.seen)), _COUNTED)
    passed = list(takewhile(lambda one: one < due_s, following))
    if passed:
        new = Missed(format_time(passed[0]), format_time(passed[-1]), len(passed), OVERTAKEN)
        _add(runs, new, before.seen)
    if isinstance(verdict, Skip):
        at, last = format_time(due_s), format_time(passed[-1]) if passed else before.seen
        _add(runs, Missed(at, at, 1, verdict.why), last)
    told_since = before.told_since or before.seen
    if len(runs) > MOST_RUNS:
        runs = runs[-MOST_RUNS:]
        told_since = runs[0].first
    return replace(after, missed=tuple(runs), told_since=told_since)


def _add(runs: list[Missed], new: Missed, last: str) -> None:
    """To the newest run, if nothing was started in between: `last` is the time before `new`."""
    if runs and runs[-1].why == new.why and runs[-1].last == last:
        runs[-1] = replace(runs[-1], last=new.last, times=runs[-1].times + new.times)
    else:
        runs.append(new)


def due_times(clockwork: CronTimes, state: ScheduleState | None, now_s: float) -> DueTimes:
    """Those of the last 30 days, as far as they have come."""
    state = state or ScheduleState(timing="", seen="")
    missed = tuple(one for one in state.missed if parse_time(one.last) >= now_s - SHOWN_S)
    coming = takewhile(lambda at_s: at_s <= now_s, clockwork.following(now_s - SHOWN_S))
    found = list(islice(coming, MOST_TIMES + 1))
    if len(found) > MOST_TIMES:
        return DueTimes((), missed)
    seen_s = parse_time(state.seen) if state.seen else 0.0
    known_s = parse_time(state.told_since) if state.told_since else seen_s
    times = (
        DueTime(
            at_s,
            clockwork.start_s(at_s),
            missed=_why(at_s, missed),
            handled=known_s < at_s <= seen_s,
            waits=bool(state.seen) and at_s > seen_s,
        )
        for at_s in found
    )
    return DueTimes(tuple(one for one in times if one.start_s <= now_s), missed)


def _why(at_s: float, missed: tuple[Missed, ...]) -> str:
    return next(
        (one.why for one in missed if parse_time(one.first) <= at_s <= parse_time(one.last)), ""
    )
