"""Schedules: the times at which backups are due, and the verdict on a due one. Pure.

A schedule's **time** is an instant that its cron expression names. A time that has been handled is
never handled again, so a later leader starts none of them twice; of those that passed without a
leader only the newest counts.
Source: cronsim, which treats the ends of summer time as Debian's cron does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from cleancut.core.maintenance.retention import Retention, check_retention
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.durations import format_duration
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import ClusterName, OperationId, check_collection_name, parse_name
from cleancut.core.primitives.labels import check_labels
from cleancut.core.primitives.record_times import Time
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.fence import check_fence
from cleancut.core.protocol.requests import BackupRequest, check_attempts, check_selection

SLACK_S = 3600.0
"""Largest difference of coordinators' clocks: a handled time is ahead by no more than this."""
_PROBED = 200
_NEAR_S = 600.0
_LONGEST_WAIT_S = 6 * 3600.0
_FROM = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
_GAP_TIMES, _GAP_LEAST, _GAP_SPAN_S = 20_000, 3, 400 * 86400.0
"""A year of hourly times, two weeks of minutely ones; at least three of rare ones."""
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Names of times, as in crontab(5)."""
_WORDS = {"cron", "do", "time_zone", "jitter_s", "start_within_s", "overlap", "max_age_s"}
MAX_AGE_INTERVALS = 1.5
"""How old a schedule's newest result may be unless it states a `max-age`, in longest gaps."""


class Overlap(StrEnum):
    """The treatment of a due backup while the one before is still under way."""

    SKIP = "skip"
    QUEUE = "queue"


class Do(StrEnum):
    """The operation that a schedule starts; a verification or a drill is of the newest group, or of
    the newest that holds its collections, a copy of all groups that are not there yet."""

    BACKUP = "backup"
    VERIFY = "verify"
    DRILL = "drill"
    COPY = "copy"


class ScheduleRule(Record, frozen=True, forbid_unknown_fields=True):
    """`[schedule.NAME]` of a coordinator's file: the times, and what is backed up or verified.

    `jitter`: each start is delayed by up to this many seconds, always the same for one time.
    `start_within`: seconds after which a backup that could not be started is skipped; 0 for never.
    `retention`: for this schedule's groups, instead of the general one. `percent`: of a group's
    bytes, that a verification or a copy reads again. `shards`: the number that a drill opens; 0 for
    all. `to`: the store that a copy goes to. `labels`: of its backups.
    """

    cron: str
    do: Do = Do.BACKUP
    time_zone: str = "UTC"
    jitter_s: float = msgspec.field(default=0.0, name="jitter")
    start_within_s: float = msgspec.field(default=0.0, name="start_within")
    overlap: Overlap = Overlap.SKIP
    collections: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    allow_missing: bool = False
    allow_empty: bool = False
    require_point_in_time: bool = False
    attempts: int = 5
    fence: tuple[str, ...] = ()
    fence_budget_s: float = msgspec.field(default=0.0, name="fence_budget")
    retention: Retention | None = None
    percent: int = 0
    shards: int = 0
    to: str = ""
    max_age_s: float = msgspec.field(default=0.0, name="max_age")
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def timing(self) -> str:
        """The fields that its times depend on."""
        return f"{self.cron} {self.time_zone}"


_USEFUL: Mapping[Do, set[str]] = {
    Do.BACKUP: set(ScheduleRule.__struct_fields__) - {"percent", "shards", "to"},
    Do.VERIFY: {"percent", "collections"},
    Do.DRILL: {"shards", "collections"},
    Do.COPY: {"percent", "to"},
}
Schedules = Mapping[str, ScheduleRule]


class Missed(Record, frozen=True):
    """Due times that follow one another, for which nothing was started. `times`: their number;
    `why`: the reason."""

    first: Time
    last: Time
    times: int
    why: str


class DefinedSchedule(Record, frozen=True):
    """`schedule-rule/<name>`: a schedule that a call has defined. `owner`: the object that it is
    of; "" for one that a person keeps."""

    rule: ScheduleRule
    owner: str = ""


class ScheduleState(Record, frozen=True):
    """`schedule/<name>`: how far a schedule is.

    `seen`: times up to here have been handled. `operation`: the newest that it has started, for
    the time `due`, or by hand if that is "". `skipped`: the newest time that none was started for,
    and `why`. `outcome`: of the newest verification or drill. `since`: when it got its times.
    `missed`: the newest times for which nothing was started, oldest first; `told_since`: from when
    on they are all there.
    """

    timing: str
    seen: Time
    paused: bool = False
    operation: OperationId = OperationId("")
    due: Time = ""
    skipped: Time = ""
    why: str = ""
    outcome: str = ""
    since: Time = ""
    missed: tuple[Missed, ...] = ()
    told_since: Time = ""


class Reset(NamedTuple):
    """Handled times do not count: the schedule is new, or its times were changed."""

    seen_s: float


class Wait(NamedTuple):
    """Nothing is due before `until_s`."""

    until_s: float


class Postpone(NamedTuple):
    """The one of `due_s` starts when the one before is over."""

    due_s: float


class Skip(NamedTuple):
    """None is started for `due_s`."""

    due_s: float
    why: str


class Start(NamedTuple):
    """A backup for `due_s` starts now."""

    due_s: float


Verdict = Reset | Wait | Postpone | Skip | Start


class CronTimes:
    """The times of one schedule. `cluster` and `name` only spread the jitter."""

    def __init__(self, cluster: ClusterName, name: str, schedule: ScheduleRule) -> None:
        self._seed, self._schedule = f"{cluster}/{name}", schedule
        self._zone = ZoneInfo(schedule.time_zone)

    def start_s(self, due_s: float) -> float:
        """The start of the one of `due_s`: its time and its jitter."""
        seed = f"{self._seed}/{due_s:.0f}".encode()
        fraction = int.from_bytes(hashlib.sha256(seed).digest()[:4]) / 2**32
        return due_s + fraction * self._schedule.jitter_s

    def after(self, seconds: float) -> float:
        """The first time after `seconds`; infinite if there is none in 50 years."""
        return next(self.following(seconds), float("inf"))

    def following(self, seconds: float) -> Iterator[float]:
        """All times after `seconds`, oldest first, each once."""
        last_s = seconds
        for found in self._cron(seconds):
            if found.timestamp() > last_s:
                last_s = found.timestamp()
                yield last_s

    def newest(self, now_s: float, since_s: float) -> float | None:
        """The newest time after `since_s` that a start at `now_s` is not too early for. Times are
        found as `following` does: backwards, others come out where a clock is set back."""
        span_s = _NEAR_S
        while True:
            first_s = max(since_s, now_s - span_s)
            passed = takewhile(lambda one: one <= now_s, self.following(first_s))
            due = [one for one in passed if self.start_s(one) <= now_s]
            if due or first_s == since_s:
                return due[-1] if due else None
            span_s *= 4

    def next_start(self, now_s: float, seen_s: float) -> float:
        """The start of the first time that is neither due at `now_s` nor handled."""
        return self.start_s(self.after(max(seen_s, now_s - self._schedule.jitter_s)))

    def _cron(self, seconds: float) -> CronSim:
        at = datetime.fromtimestamp(seconds, self._zone)
        return CronSim(_fields_of(self._schedule.cron), at)


def decide(
    schedule: ScheduleRule,
    clockwork: CronTimes,
    state: ScheduleState | None,
    *,
    now_s: float,
    busy: bool,
) -> Verdict:
    """The verdict now. `busy`: the newest operation that it started is not over."""
    if state is None or state.timing != schedule.timing:
        return Reset(now_s)
    seen_s = parse_time(state.seen)
    if seen_s > now_s + SLACK_S:
        return Reset(now_s)  # some clock was far ahead: nothing would be due for long
    due_s = clockwork.newest(now_s, seen_s)
    if due_s is None:
        return Wait(clockwork.next_start(now_s, seen_s))
    late_s = now_s - clockwork.start_s(due_s)
    if state.paused:
        return Skip(due_s, "it is paused")
    if schedule.start_within_s and late_s > schedule.start_within_s:
        return Skip(due_s, f"it could not start within {schedule.start_within_s:g} s")
    if busy and schedule.overlap is Overlap.SKIP:
        return Skip(due_s, "the one before was still under way")
    return Postpone(due_s) if busy else Start(due_s)


def request_of(name: str, schedule: ScheduleRule) -> BackupRequest:
    """The request that a schedule makes each time."""
    return BackupRequest(
        collections=tuple(sorted(set(schedule.collections))),
        allow_empty=schedule.allow_empty,
        require_point_in_time=schedule.require_point_in_time,
        attempts=schedule.attempts,
        fence=tuple(sorted(set(schedule.fence))),
        fence_budget_s=schedule.fence_budget_s,
        schedule=name,
        exclude=tuple(sorted(set(schedule.exclude))),
        allow_missing=schedule.allow_missing,
        wait_s=patience_s(schedule),
        labels=schedule.labels,
    )


def patience_s(schedule: ScheduleRule) -> float:
    """How long its backups wait for agents that are away: half the shortest gap between two of its
    times, at most six hours."""
    times = islice(_times(schedule), _PROBED)
    gap_s = min((later - one for one, later in pairwise(times)), default=float("inf"))
    return min(gap_s / 2, _LONGEST_WAIT_S)


def covers(schedule: ScheduleRule, collection: str, aliases: Mapping[str, str]) -> bool:
    """Whether its backups hold the collection. `aliases`: the collection behind each."""
    names = {collection, *(alias for alias, of in aliases.items() if of == collection)}
    named = not schedule.collections or names.intersection(schedule.collections)
    return bool(named) and not names.intersection(schedule.exclude)


def check_schedule(name: str, schedule: ScheduleRule) -> None:
    """Checks a schedule. Raises: Invalid."""
    parse_name(name, "schedule")
    try:
        times = list(islice(_times(schedule), _PROBED))
    except CronSimError as error:
        raise Invalid(
            f"[schedule.{name}]: cron {schedule.cron!r}: {error}",
            'five fields: minute, hour, day, month, weekday, as in "30 2 * * *", or "@daily"',
        ) from error
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(
            f"[schedule.{name}]: there is no time zone {schedule.time_zone!r}",
            'give a name such as "UTC" or "Europe/Berlin"',
        ) from error
    if not times:
        raise Invalid(f"[schedule.{name}]: cron {schedule.cron!r} never matches")
    gap_s = min((later - one for one, later in pairwise(times)), default=float("inf"))
    if not 0 <= schedule.jitter_s < gap_s:
        raise Invalid(
            f"[schedule.{name}]: jitter must be at least 0 and less than {gap_s:.0f} s, its gap"
        )
    if schedule.start_within_s < 0:
        raise Invalid(f"[schedule.{name}]: start-within cannot be negative")
    _check_max_age(name, schedule)
    _check_words(name, schedule)
    try:
        check_attempts(schedule.attempts)
        check_selection(schedule.collections, schedule.exclude)
        for collection in schedule.collections:
            check_collection_name(collection)
        check_fence(request_of(name, schedule))
        check_labels(schedule.labels)
    except Invalid as error:
        raise Invalid(f"[schedule.{name}]: {error.message}", error.hint) from error
    if schedule.retention is not None:
        check_retention(schedule.retention, f"[schedule.{name}.retention]")


def _check_max_age(name: str, schedule: ScheduleRule) -> None:
    """A limit under the longest gap would be passed at every such gap."""
    worst_s = worst_gap_s(schedule)
    if schedule.max_age_s < 0 or 0 < schedule.max_age_s < worst_s < float("inf"):
        raise Invalid(
            f"[schedule.{name}]: max-age {format_duration(schedule.max_age_s)} is shorter than the"
            f" longest gap between two of its times, {format_duration(worst_s)}",
            "give a longer one, or leave it out for one and a half gaps",
        )


def max_age_s(schedule: ScheduleRule) -> float:
    """How old the newest result of a schedule may be; infinite if it has a single time."""
    return schedule.max_age_s or MAX_AGE_INTERVALS * worst_gap_s(schedule)


def _check_words(name: str, schedule: ScheduleRule) -> None:
    """Every setting must apply to what the schedule does."""
    plain, do = ScheduleRule(cron=schedule.cron), schedule.do
    useful = _WORDS | _USEFUL[do]
    for word in ScheduleRule.__struct_fields__:
        if word not in useful and getattr(schedule, word) != getattr(plain, word):
            setting = word.removesuffix("_s").replace("_", "-")
            raise Invalid(f"[schedule.{name}]: {setting!r} does not apply to a {do}")
    if do is Do.COPY and not schedule.to:
        raise Invalid(f"[schedule.{name}]: a copy needs the store that it goes to: `to`")
    if not 0 <= schedule.percent <= 100 or schedule.shards < 0:
        raise Invalid(f"[schedule.{name}]: percent must be 0 to 100, shards 0 or more")


def _fields_of(cron: str) -> str:
    """The five fields of a name such as `@daily`; others as they are."""
    return _MACROS.get(cron.strip().lower(), cron)


def _times(schedule: ScheduleRule) -> Iterator[float]:
    number = len(_fields_of(schedule.cron).split())
    if schedule.cron.strip().startswith("@") and number != 5:
        raise CronSimError(f"unknown name, use one of {', '.join(_MACROS)}")
    if number == 6:
        raise CronSimError("it has six fields; times have no seconds, and no year")
    if number != 5:
        raise CronSimError(f"it has {number} fields instead of five")
    return CronTimes(ClusterName(""), "", schedule).following(_FROM.timestamp())


def worst_gap_s(schedule: ScheduleRule) -> float:
    """The longest gap between two of its times: three days for every weekday's night.

    Limits: looks at 400 days, or 20,000 times, once for each rule. Infinite for one that has a
        single time.
    """
    return _worst_gap_s(schedule.cron, schedule.time_zone)


@lru_cache(maxsize=1000)
def _worst_gap_s(cron: str, time_zone: str) -> float:
    worst_s, seen = 0.0, 1
    rule = ScheduleRule(cron=cron, time_zone=time_zone)
    times = CronTimes(ClusterName(""), "", rule).following(_FROM.timestamp())
    for one, later in pairwise(islice(times, _GAP_TIMES)):
        worst_s, seen = max(worst_s, later - one), seen + 1
        if seen >= _GAP_LEAST and later > _FROM.timestamp() + _GAP_SPAN_S:
            break
    return worst_s or float("inf")


def moved(
    state: ScheduleState | None, schedule: ScheduleRule, verdict: Reset | Skip | Start
) -> ScheduleState:
    """The state once `verdict` is carried out; the caller adds the operation that it started."""
    seen_s = verdict.seen_s if isinstance(verdict, Reset) else verdict.due_s
    before = state or ScheduleState(timing=schedule.timing, seen="")
    seen, fresh = format_time(seen_s), isinstance(verdict, Reset)
    since = seen if fresh else before.since or seen
    changes: dict[str, str] = {"timing": schedule.timing, "seen": seen, "since": since}
    if isinstance(verdict, Start):
        changes["due"] = format_time(verdict.due_s)
    if isinstance(verdict, Skip):
        changes |= {"skipped": format_time(verdict.due_s), "why": verdict.why}
    return msgspec.structs.replace(before, **changes)


def defined(
    state: ScheduleState | None, before: ScheduleRule | None, rule: ScheduleRule, now_s: float
) -> ScheduleState | None:
    """The state of a schedule that a call defines now; None: it stays as it is.

    Times count from now on if the schedule is new, or its times are: none of the past is made up
    for. What it has started is forgotten if it is new, or starts something else from now on.
    Whether it is paused stays.
    """
    same_work = before is not None and before.do is rule.do
    if same_work and before is not None and before.timing == rule.timing:
        return None
    fresh = moved(state if same_work else None, rule, Reset(now_s))
    return msgspec.structs.replace(fresh, paused=state is not None and state.paused)
