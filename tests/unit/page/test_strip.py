"""The strip of 30 days: what a day is called, and its SVG byte for byte."""

from __future__ import annotations

from cleancut.api.backups import Backup, MissingCollection
from cleancut.api.schedules import Schedule
from cleancut.core.protocol.states import State
from cleancut.page.strip import Cell, Day, Strip, strip_svg, strips

NOW_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def backup(epoch: int, day: str, state: State = State.COMMITTED, **other: object) -> Backup:
    return Backup(
        id=f"b-{epoch}",
        epoch=epoch,
        state=state,
        cut_at=f"{day}T02:00:00Z",
        schedule="nightly",
        **other,  # type: ignore[arg-type]
    )


def cells(*backups: Backup) -> dict[str, Cell]:
    (strip,) = strips(backups, [Schedule(name="nightly", do="backup")], NOW_S)
    return {day.date: day.cell for day in strip.days if day.cell is not Cell.NONE}


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


def test_schedules_that_are_gone_and_backups_by_hand_have_strips() -> None:
    by_hand = Backup(id="b-9", epoch=9, state=State.COMMITTED, cut_at="2026-01-01T00:00:00Z")
    found = strips([backup(1, "2025-12-31"), by_hand], [], NOW_S)
    assert [(one.name, one.summary) for one in found] == [
        ("nightly", "backups on 1 of 30 days"),
        ("", "backups on 1 of 30 days"),
    ]


def test_the_picture() -> None:
    days = (Day("2026-01-01", Cell.MADE, 1), Day("2026-01-02", Cell.FAILED, 2))
    assert strip_svg(Strip('a"<b', days)) == (
        '<svg class="strip" viewBox="0 0 36 22" role="img" aria-label="a&#34;&lt;b: backups on 1 of'
        ' 2 days, failed or damaged on 1">'
        '<g class="day made"><title>2026-01-01: 1 backup, made</title>'
        '<rect x="0" y="1" width="16" height="20" rx="3"/>'
        '<text x="8" y="15" text-anchor="middle"/></g>'
        '<g class="day failed"><title>2026-01-02: 2 backups, failed</title>'
        '<rect x="20" y="1" width="16" height="20" rx="3"/>'
        '<text x="28" y="15" text-anchor="middle">\u00d7</text></g></svg>'
    )
