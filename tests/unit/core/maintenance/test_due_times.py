"""Due times for which nothing was started are recorded, in runs, and told from the others."""

from __future__ import annotations

from cleancut.core.maintenance.due_times import (
    MOST_RUNS,
    MOST_TIMES,
    OVERTAKEN,
    due_times,
    with_missed,
)
from cleancut.core.maintenance.schedule import (
    CronTimes,
    Reset,
    ScheduleRule,
    ScheduleState,
    Skip,
    Start,
    moved,
)
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.primitives.timestamps import format_time, parse_time

OFTEN = ScheduleRule(cron="0 */6 * * *")
CLOCKWORK = CronTimes(ClusterName("prod"), "nightly", OFTEN)
START_S = parse_time("2026-01-01T00:00:00.000Z")
HOUR_S = 3600.0


def hour(number: float) -> float:
    return START_S + number * HOUR_S


def after(state: ScheduleState | None, *verdicts: Reset | Skip | Start) -> ScheduleState:
    """The state once each of these is carried out."""
    for verdict in verdicts:
        state = with_missed(state, moved(state, OFTEN, verdict), CLOCKWORK, verdict)
    assert state is not None
    return state


def runs(state: ScheduleState) -> list[tuple[float, float, int, str]]:
    return [
        (
            (parse_time(one.first) - START_S) / HOUR_S,
            (parse_time(one.last) - START_S) / HOUR_S,
            one.times,
            one.why,
        )
        for one in state.missed
    ]


def test_times_that_follow_one_another_are_one_run() -> None:
    state = after(
        None,
        Reset(hour(1)),
        Skip(hour(6), "paused"),
        Skip(hour(12), "paused"),
        Start(hour(18)),
        Skip(hour(24), "paused"),
        Skip(hour(30), "busy"),
    )
    assert runs(state) == [(6, 12, 2, "paused"), (24, 24, 1, "paused"), (30, 30, 1, "busy")]
    assert state.told_since == format_time(hour(1))


def test_times_without_a_leader_are_recorded_by_the_next_one() -> None:
    """Only the newest of them is dealt with."""
    state = after(None, Reset(hour(1)), Start(hour(6)), Start(hour(30)))
    assert runs(state) == [(12, 24, 3, OVERTAKEN)]
    state = after(state, Skip(hour(48), "late"))
    assert runs(state)[1:] == [(36, 42, 2, OVERTAKEN), (48, 48, 1, "late")]


def test_runs_have_a_bound_and_what_is_left_out_is_not_called_made() -> None:
    state = after(None, Reset(hour(1)))
    for number in range(1, 2 * MOST_RUNS + 20, 2):
        state = after(state, Skip(hour(6 * number), "busy"), Start(hour(6 * number + 6)))
    assert len(state.missed) == MOST_RUNS
    assert state.told_since == state.missed[0].first


def test_what_became_of_each_time_of_thirty_days() -> None:
    """Before the record began nothing is known; what is not missed was made."""
    state = after(None, Reset(hour(1)), Start(hour(6)), Skip(hour(12), "busy"), Start(hour(18)))
    found = due_times(CLOCKWORK, state, hour(25))
    assert len(found.times) == 120
    assert [(one.handled, one.missed, one.waits) for one in found.times[-5:]] == [
        (False, "", False),
        (True, "", False),
        (True, "busy", False),
        (True, "", False),
        (False, "", True),
    ]
    assert len(found.missed) == 1


def test_a_record_of_before_says_nothing_of_what_was_made() -> None:
    old = ScheduleState(timing=OFTEN.timing, seen=format_time(hour(18)), since="")
    assert not any(one.handled for one in due_times(CLOCKWORK, old, hour(25)).times)
    newer = after(old, Start(hour(24)))
    assert [one.handled for one in due_times(CLOCKWORK, newer, hour(25)).times][-2:] == [
        False,
        True,
    ]
    assert due_times(CLOCKWORK, None, hour(25)).times[-1].handled is False


def test_times_that_are_too_many_are_left_to_the_days() -> None:
    rule = ScheduleRule(cron="* * * * *")
    clockwork = CronTimes(ClusterName("prod"), "x", rule)
    state = after(None, Reset(hour(1)), Skip(hour(6), "paused"))
    found = due_times(clockwork, state, hour(25))
    assert (found.times, len(found.missed)) == ((), 1)
    assert MOST_TIMES >= 120
    assert due_times(clockwork, state, hour(25 + 24 * 31)).missed == ()
