"""When schedules are due: cron, calendars, what is caught up with, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.maintenance.retention import Retention
from cleancut.core.maintenance.schedule import (
    CronTimes,
    Do,
    Overlap,
    Postpone,
    Reset,
    ScheduleRule,
    ScheduleState,
    Skip,
    Start,
    Verdict,
    Wait,
    check_schedule,
    covers,
    decide,
    moved,
    request_of,
)
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.daemon_settings import load_file, read_schedules

HOUR_S, DAY_S = 3600.0, 86400.0
NIGHTLY = ScheduleRule(cron="30 2 * * *")
HOURLY = ScheduleRule(cron="0 * * * *")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOON_S = at("2026-06-15 12:00")


def clockwork(schedule: ScheduleRule, name: str = "s") -> CronTimes:
    return CronTimes(ClusterName("prod"), name, schedule)


def judged(
    schedule: ScheduleRule, seen_s: float, now_s: float, *, busy: bool = False, paused: bool = False
) -> Verdict:
    state = ScheduleState(timing=schedule.timing, seen=format_time(seen_s), paused=paused)
    return decide(schedule, clockwork(schedule), state, now_s=now_s, busy=busy)


def test_a_new_schedule_starts_nothing_at_once() -> None:
    assert decide(HOURLY, clockwork(HOURLY), None, now_s=NOON_S, busy=False) == Reset(NOON_S)
    assert judged(HOURLY, NOON_S, NOON_S) == Wait(NOON_S + HOUR_S)


def test_due_once() -> None:
    assert judged(HOURLY, NOON_S, NOON_S + HOUR_S - 1) == Wait(NOON_S + HOUR_S)
    assert judged(HOURLY, NOON_S, NOON_S + HOUR_S) == Start(NOON_S + HOUR_S)
    assert judged(HOURLY, NOON_S + HOUR_S, NOON_S + HOUR_S) == Wait(NOON_S + 2 * HOUR_S)


def test_after_a_downtime_one_starts_for_the_newest_time() -> None:
    now_s = NOON_S + 100 * HOUR_S + 1234
    assert judged(HOURLY, NOON_S, now_s) == Start(NOON_S + 100 * HOUR_S)
    late = replace(HOURLY, start_within_s=1200.0)
    assert judged(late, NOON_S, now_s) == Skip(
        NOON_S + 100 * HOUR_S, "it could not start within 1200 s"
    )
    assert judged(late, NOON_S, now_s - 34) == Start(NOON_S + 100 * HOUR_S)


def test_overlap() -> None:
    due_s = NOON_S + HOUR_S
    skipped = judged(HOURLY, NOON_S, due_s, busy=True)
    assert skipped == Skip(due_s, "the one before was still under way")
    queued = replace(HOURLY, overlap=Overlap.QUEUE)
    assert judged(queued, NOON_S, due_s, busy=True) == Postpone(due_s)
    assert judged(queued, NOON_S, due_s + 3 * HOUR_S) == Start(due_s + 3 * HOUR_S)


def test_paused_times_pass() -> None:
    skipped = judged(HOURLY, NOON_S, NOON_S + 2 * HOUR_S, paused=True)
    assert skipped == Skip(NOON_S + 2 * HOUR_S, "it is paused")


def test_other_times_begin_anew() -> None:
    """Else one that is moved from night to morning would start at once, at noon."""
    state = ScheduleState(timing=NIGHTLY.timing, seen=format_time(NOON_S - DAY_S), paused=True)
    verdict = decide(HOURLY, clockwork(HOURLY), state, now_s=NOON_S, busy=False)
    assert verdict == Reset(NOON_S)
    assert isinstance(verdict, Reset)
    assert moved(state, HOURLY, verdict) == replace(
        state, timing=HOURLY.timing, seen=format_time(NOON_S), since=format_time(NOON_S)
    )


def test_a_clock_that_was_far_ahead_does_not_silence_it() -> None:
    assert judged(HOURLY, NOON_S + 3 * DAY_S, NOON_S) == Reset(NOON_S)
    assert judged(HOURLY, NOON_S + 60, NOON_S) == Wait(NOON_S + HOUR_S)


@pytest.mark.parametrize(
    ("zone", "cron", "days"),
    [
        ("Europe/Berlin", "30 2 * * *", ["2026-03-28", "2026-03-29", "2026-03-30"]),
        ("Europe/Berlin", "30 2 * * *", ["2026-10-24", "2026-10-25", "2026-10-26"]),
        ("America/New_York", "0 2 * * *", ["2026-03-07", "2026-03-08", "2026-03-09"]),
        ("Australia/Lord_Howe", "15 2 * * *", ["2026-10-03", "2026-10-04", "2026-10-05"]),
    ],
)
def test_a_nightly_one_comes_once_a_night_where_summer_time_begins_or_ends(
    zone: str, cron: str, days: list[str]
) -> None:
    schedule = ScheduleRule(cron=cron, time_zone=zone)
    start = datetime.fromisoformat(f"{days[0]} 00:00").replace(tzinfo=ZoneInfo(zone))
    found = islice(clockwork(schedule).following(start.timestamp()), len(days))
    local = [datetime.fromtimestamp(one, ZoneInfo(zone)) for one in found]
    assert [one.date().isoformat() for one in local] == days


CRONS = [
    "* * * * *",
    "*/7 3-5 * * *",
    "30 2 * * *",
    "0 */6 * * 1-5",
    "5 4 1,15 * *",
    "0,30 1,2 * * *",
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
MOMENTS = st.one_of(
    st.integers(int(at("2026-01-01")), int(at("2027-01-01"))),
    st.integers(int(at("2026-03-28")), int(at("2026-03-30"))),
    st.integers(int(at("2026-10-24")), int(at("2026-10-26"))),
)


@settings(deadline=None)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), MOMENTS, st.integers(0, 3 * 86400))
def test_looking_back_finds_what_looking_ahead_has_told(
    cron: str, zone: str, since: int, length: int
) -> None:
    """The newest time up to now is the last of those that follow `since`, in every zone."""
    works = clockwork(ScheduleRule(cron=cron, time_zone=zone))
    now_s = float(since + length)
    ahead = list(takewhile(lambda one: one <= now_s, works.following(float(since))))
    assert works.newest(now_s, float(since)) == (ahead[-1] if ahead else None)
    assert ahead == sorted(set(ahead))
    assert works.after(now_s) > now_s


def test_jitter_is_the_same_for_one_time_and_differs_between_schedules() -> None:
    schedule = replace(HOURLY, jitter_s=1800.0)
    works = clockwork(schedule)
    offsets = {works.start_s(NOON_S + n * HOUR_S) - NOON_S - n * HOUR_S for n in range(50)}
    assert len(offsets) == 50
    assert all(0 <= one < 1800 for one in offsets)
    assert works.start_s(NOON_S) == clockwork(schedule).start_s(NOON_S)
    assert works.start_s(NOON_S) != clockwork(schedule, "other").start_s(NOON_S)
    start_s = works.start_s(NOON_S)
    assert judged(schedule, NOON_S - 1, start_s - 0.5) == Wait(start_s)
    assert judged(schedule, NOON_S - 1, start_s) == Start(NOON_S)


class Looked:
    """One schedule under leaders that come and go: what has become of each time."""

    def __init__(self, schedule: ScheduleRule) -> None:
        self.schedule, self.works = schedule, clockwork(schedule)
        self.state: ScheduleState | None = None
        self.started: list[float] = []
        self.skipped: list[float] = []
        self.busy_until_s = 0.0

    def look(self, now_s: float, runs_s: float) -> int:
        """All that one leader does at `now_s`; how many it has started."""
        before = len(self.started)
        while True:
            verdict = decide(
                self.schedule, self.works, self.state, now_s=now_s, busy=now_s < self.busy_until_s
            )
            if isinstance(verdict, Wait | Postpone):
                return len(self.started) - before
            if isinstance(verdict, Start):
                self.started.append(verdict.due_s)
                self.busy_until_s = now_s + runs_s
            if isinstance(verdict, Skip):
                self.skipped.append(verdict.due_s)
            self.state = moved(self.state, self.schedule, verdict)

    def pause(self, now_s: float, *, paused: bool) -> None:
        assert self.state is not None
        seen = format_time(now_s) if self.state.paused and not paused else self.state.seen
        self.state = replace(self.state, paused=paused, seen=seen)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([10.0, 10.0, 61.0, 900.0, 4 * HOUR_S, 3 * DAY_S]),
        st.sampled_from([0.0, 0.0, 30.0, 7200.0]),
        st.sampled_from([None, None, None, True, False]),
    ),
    min_size=1,
    max_size=60,
)


@given(
    st.sampled_from(["*/5 * * * *", "0 * * * *", "30 2 * * *"]),
    st.sampled_from([0.0, 200.0]),
    st.sampled_from(list(Overlap)),
    STEPS,
)
def test_no_time_is_started_twice_and_none_is_forgotten(
    cron: str,
    jitter_s: float,
    overlap: Overlap,
    steps: Sequence[tuple[float, float, bool | None]],
) -> None:
    """Whatever downtimes, long backups and pauses: starts go forward in time; one look starts one
    at most; while it is paused none; and after a look without anything under way, the newest time
    that was not paused has been started or has been skipped."""
    schedule = ScheduleRule(
        cron=cron, jitter_s=jitter_s, overlap=overlap, time_zone="Europe/Berlin"
    )
    check_schedule("s", schedule)
    looked, now_s, resumed_s = Looked(schedule), at("2026-03-28 20:00"), at("2026-03-28 20:00")
    looked.look(now_s, 0.0)
    for ahead_s, runs_s, paused in steps:
        now_s += ahead_s
        if paused is not None:
            assert looked.state is not None
            if looked.state.paused and not paused:
                resumed_s = now_s
            looked.pause(now_s, paused=paused)
        idle = now_s >= looked.busy_until_s
        fresh = looked.look(now_s, runs_s)
        assert looked.state is not None
        assert fresh <= (0 if looked.state.paused else 1)
        newest = looked.works.newest(now_s, resumed_s)
        if idle and newest is not None and not looked.state.paused:
            assert newest in {*looked.started, *looked.skipped}
    assert looked.started == sorted(set(looked.started))
    assert not set(looked.started) & set(looked.skipped)


def test_what_it_asks_for() -> None:
    schedule = replace(
        NIGHTLY, collections=("b", "a"), require_point_in_time=True, fence=("alias=w",), attempts=7
    )
    request = request_of("nightly", schedule)
    assert request.collections == ("a", "b")
    assert (request.require_point_in_time, request.attempts) == (True, 7)
    assert (request.fence, request.schedule) == (("alias=w",), "nightly")


def read(folder: Path, text: str) -> dict[str, ScheduleRule]:
    file = folder / "coordinator.toml"
    file.write_text(text)
    context = click.Context(click.Command("coordinator"))
    load_file(context, click.Option(["--config"]), file)
    return read_schedules(context)


def test_the_file(tmp_path: Path) -> None:
    text = """
store = "s"
[schedule.nightly]
cron = "30 2 * * *"
time-zone = "Europe/Berlin"
jitter = 600
start-within = 7200
overlap = "queue"
collections = ["docs"]
fence = ["alias=docs-w"]
fence-budget = 5
require-point-in-time = true
[schedule.nightly.retention]
keep-daily = 7
[schedule.hourly]
cron = "0 * * * *"
[schedule.weekly]
do = "drill"
cron = "0 5 * * SUN"
shards = 2
"""
    found = read(tmp_path, text)
    assert found["hourly"] == HOURLY
    assert found["weekly"] == ScheduleRule(do=Do.DRILL, cron="0 5 * * SUN", shards=2)
    assert found["nightly"] == ScheduleRule(
        cron="30 2 * * *",
        time_zone="Europe/Berlin",
        jitter_s=600.0,
        start_within_s=7200.0,
        overlap=Overlap.QUEUE,
        collections=("docs",),
        fence=("alias=docs-w",),
        fence_budget_s=5.0,
        require_point_in_time=True,
        retention=Retention(keep_daily=7),
    )


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('cron = "61 * * * *"', "minute"),
        ('cron = "0 0 31 2 *"', "day-of-month"),
        ('cron = "* * * * * *"', "five fields"),
        ('time-zone = "UTC"', "cron"),
        ('cron = "0 * * * *"\ntime-zone = "Mars/Base"', "time zone"),
        ('cron = "0 * * * *"\ntime-zone = "../etc/passwd"', "time zone"),
        ('cron = "0 * * * *"\njitter = 3600', "jitter"),
        ('cron = "0 * * * *"\nattempts = 0', "attempts"),
        ('cron = "0 * * * *"\nstart-within = -1', "start-within"),
        ('cron = "0 * * * *"\noverlap = "kill"', "kill"),
        ('cron = "0 * * * *"\ncolections = ["a"]', "colections"),
        ('cron = "0 * * * *"\nfence = ["lock"]', "lock"),
        ('cron = "0 * * * *"\ncollections = [".."]', "consensus"),
        ('cron = "0 * * * *"\nretention = { keep-dayly = 3 }', "dayly"),
        ('cron = "0 * * * *"\ndo = "dance"', "dance"),
        ('cron = "0 * * * *"\nshards = 3', "'shards' does not apply to a backup"),
        ('cron = "0 * * * *"\ndo = "drill"\nrequire-point-in-time = true', "require-point-in-time"),
        ('cron = "0 * * * *"\ndo = "verify"\nfence-budget = 3', "fence-budget"),
        ('cron = "0 * * * *"\ndo = "verify"\npercent = 101', "percent"),
        ('cron = "0 * * * *"\nretention = { keep-daily = -3 }', "negative"),
        ('cron = "0 * * * *"\nlabels = { "a b" = "c" }', "key 'a b'"),
        ('cron = "0 * * * *"\nlabels = { a = "two\\nlines" }', "value"),
        ('cron = "0 * * * *"\nlabels = { a = 3 }', "labels"),
        ('cron = "0 * * * *"\ndo = "verify"\nlabels = { a = "b" }', "does not apply"),
    ],
)
def test_what_the_file_may_not_hold(tmp_path: Path, lines: str, word: str) -> None:
    with pytest.raises(Invalid) as told:
        read(tmp_path, f"[schedule.s]\n{lines}\n")
    assert "schedule.s" in told.value.message
    assert word in f"{told.value.message} {told.value.hint}"


def test_names_and_lists_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        read(tmp_path, '[schedule."a/b"]\ncron = "0 * * * *"\n')
    with pytest.raises(Invalid):
        read(tmp_path, '[[schedule]]\ncron = "0 * * * *"\n')


def test_times_of_a_state_are_read_back_exactly() -> None:
    state = moved(None, HOURLY, Reset(NOON_S + 0.25))
    assert parse_time(state.seen) == NOON_S + 0.25
    assert timedelta(seconds=parse_time(moved(state, HOURLY, Start(NOON_S)).due)) == timedelta(
        seconds=NOON_S
    )


@pytest.mark.parametrize(
    ("names", "exclude", "covered"),
    [
        ((), (), True),
        (("docs",), (), True),
        (("docs@r-1",), (), True),
        (("other",), (), False),
        ((), ("docs",), False),
        ((), ("docs@r-1",), False),
        ((), ("other",), True),
    ],
)
def test_a_schedule_covers_what_is_behind_an_alias(
    names: tuple[str, ...], exclude: tuple[str, ...], covered: bool
) -> None:
    rule = ScheduleRule(cron="@daily", collections=names, exclude=exclude)
    assert covers(rule, "docs@r-1", {"docs": "docs@r-1", "live": "x"}) == covered


@pytest.mark.parametrize(
    ("zone", "cron", "day"),
    [
        ("America/New_York", "15 1 * * *", "2026-11-01 00:00"),
        ("Australia/Lord_Howe", "0 */2 * * *", "2026-04-04 00:00"),
        ("Africa/Cairo", "59 23 * * *", "2026-10-29 12:00"),
        ("Africa/Casablanca", "30 1,2,3 * * *", "2026-02-15 00:00"),
    ],
)
def test_what_is_due_is_a_time_of_the_schedule_where_clocks_are_set(
    zone: str, cron: str, day: str
) -> None:
    """Else a leader that comes back in that hour starts nothing, or at a time that is none."""
    works, since_s = clockwork(ScheduleRule(cron=cron, time_zone=zone)), at(day) - DAY_S
    times = list(takewhile(lambda one: one < since_s + 3 * DAY_S, works.following(since_s)))
    for minute in range(0, 2 * 1440, 7):
        now_s = since_s + 43_200 + minute * 60
        expected = max((one for one in times if one <= now_s), default=None)
        assert works.newest(now_s, since_s) == expected
