"""The strip of 30 days: what a time and a day are called, and its SVG byte for byte."""

from __future__ import annotations

from cleancut.api.backups import Backup, MissingCollection
from cleancut.api.schedules import Schedule
from cleancut.core.maintenance.due_times import DueTime, DueTimes
from cleancut.core.maintenance.schedule import Missed
from cleancut.core.protocol.states import State
from cleancut.page.strip import Box, Cell, Strip, strip_svg, strips

NOW_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z
DAY_S = 86400.0
NIGHTLY = Schedule(name="nightly", do="backup")


def backup(epoch: int, day: str, state: State = State.COMMITTED, **other: object) -> Backup:
    return Backup(
        id=f"b-{epoch}",
        epoch=epoch,
        state=state,
        cut_at=f"{day}T02:00:00Z",
        schedule="nightly",
        **other,  # type: ignore[arg-type]
    )


def cells(*backups: Backup, missed: tuple[Missed, ...] = ()) -> dict[str, Cell]:
    (strip,) = strips(backups, [NIGHTLY], NOW_S, {"nightly": DueTimes(missed=missed)})
    return {box.text[:10]: box.cell for box in strip.boxes if box.cell is not Cell.NONE}


def test_a_day_is_as_bad_as_what_is_left_of_it() -> None:
    """A failed attempt that another one made good is no failed day; damage always shows."""
    partial = MissingCollection(name="books")
    assert cells(
        backup(1, "2025-12-28", State.ABORTED),
        backup(2, "2025-12-29", State.ABORTED),
        backup(3, "2025-12-29"),
        backup(4, "2025-12-30", State.DAMAGED),
        backup(5, "2025-12-30"),
        backup(6, "2025-12-31", missing=(partial,)),
    ) == {
        "2025-12-28": Cell.FAILED,
        "2025-12-29": Cell.MADE,
        "2025-12-30": Cell.DAMAGED,
        "2025-12-31": Cell.PARTIAL,
    }


def test_a_day_without_a_backup_whose_times_were_missed_is_missed() -> None:
    """Where times are too many for a cell each; one backup of the day is enough for the rest."""
    run = Missed("2025-12-29T22:00:00.000Z", "2025-12-31T01:00:00.000Z", 160, "it is paused")
    assert cells(backup(1, "2025-12-29"), missed=(run,)) == {
        "2025-12-29": Cell.MADE,
        "2025-12-30": Cell.MISSED,
        "2025-12-31": Cell.MISSED,
    }


def due(hour: int, **other: object) -> DueTime:
    """One `hour` hours before now."""
    at_s = NOW_S - hour * 3600
    return DueTime(at_s, at_s, **other)  # type: ignore[arg-type]


def test_each_time_of_a_schedule_is_told_from_the_others() -> None:
    """What retention took from what was missed, and both from what is not known."""
    times = (
        due(40),
        due(32, handled=True),
        due(24, handled=True, missed="it is paused"),
        due(16, handled=True),
        due(8, handled=True),
        due(1, waits=True),
    )
    made = backup(7, "2026-01-01", created_at="2025-12-31T20:00:00Z")
    failed = backup(8, "", State.ABORTED, created_at="2026-01-01T04:00:03Z")
    (strip,) = strips([made, failed], [NIGHTLY], NOW_S, {"nightly": DueTimes(times)})
    assert [(box.cell, box.text.partition(": ")[2]) for box in strip.boxes] == [
        (Cell.NONE, "not known"),
        (Cell.EXPIRED, "made, and expired since"),
        (Cell.MISSED, "missed, it is paused"),
        (Cell.MADE, "made, #7"),
        (Cell.FAILED, "failed, #8"),
        (Cell.LATE, "late, nothing has begun yet"),
    ]
    assert strip.summary == (
        "made on 1 of 6 due times, 1 failed or damaged, 2 missed or late, 1 expired since,"
        " 1 not known"
    )


def test_what_is_under_way_is_neither_late_nor_expired() -> None:
    running = backup(9, "", State.UPLOADING, created_at="2026-01-01T11:00:00Z")
    times = DueTimes((due(1, handled=True),))
    (strip,) = strips([running], [NIGHTLY], NOW_S, {"nightly": times})
    assert strip.boxes == (Box(Cell.NONE, "2026-01-01 11:00 UTC: under way"),)


def test_schedules_that_are_gone_and_backups_by_hand_have_strips() -> None:
    by_hand = Backup(id="b-9", epoch=9, state=State.COMMITTED, cut_at="2026-01-01T00:00:00Z")
    found = strips([backup(1, "2025-12-31"), by_hand], [], NOW_S)
    assert [(one.name, one.summary) for one in found] == [
        ("nightly", "made on 1 of 30 days"),
        ("", "made on 1 of 30 days"),
    ]


def test_the_picture() -> None:
    boxes = (Box(Cell.MADE, "2026-01-01: made"), Box(Cell.MISSED, "2026-01-02: missed"))
    assert strip_svg(Strip('a"<b', boxes)) == (
        '<svg class="strip" viewBox="0 0 596 22" role="img" aria-label="a&#34;&lt;b: made on 1 of'
        ' 2 days, 1 missed or late">'
        '<g class="day made"><title>2026-01-01: made</title>'
        '<rect x="0" y="1" width="16" height="20" rx="3"/>'
        '<text x="8" y="15" text-anchor="middle"/></g>'
        '<g class="day missed"><title>2026-01-02: missed</title>'
        '<rect x="20" y="1" width="16" height="20" rx="3"/>'
        '<text x="28" y="15" text-anchor="middle">?</text></g></svg>'
    )


def test_many_times_have_narrow_boxes_without_signs() -> None:
    shown = strip_svg(Strip("hourly", (Box(Cell.MISSED, "missed"),) * 120, "due times"))
    assert 'width="4" height="20" rx="1"' in shown
    assert "?" not in shown
    assert 'x="595"' in shown
