"""A state is one instant of a writer, or not: what the bench of backups under writes says."""

from __future__ import annotations

import pytest

from bench.histories import History, Op, judge

FIRST = History(0).ids_from(0, 3)
A, B, C = FIRST
HISTORY = History(
    0, ops=[Op((A,), 0), Op((B,), 1), Op((A,), None), Op((B, C), 3)], ended_s=[1.0, 2.0, 3.0]
)


@pytest.mark.parametrize(
    ("found", "after"),
    [
        ({}, 0),
        ({A: 0}, 1),
        ({A: 0, B: 1}, 2),
        ({B: 1}, 3),
        ({B: 1, C: 3}, 3),  # half of the last one, which went to two shards
        ({B: 3, C: 3}, 4),
    ],
)
def test_what_was_so_at_some_time_is_right(found: dict[int, int], after: int) -> None:
    verdict = judge(HISTORY, found, after)
    assert (verdict.after, verdict.wrong, verdict.lost) == (after, 0, 0)


@pytest.mark.parametrize(
    "found",
    [{C: 3}, {A: 0, B: 1, C: 3}, {A: 0, B: 3}],  # a hole, a deleted point that is back, both
)
def test_what_never_was_is_wrong(found: dict[int, int]) -> None:
    verdict = judge(HISTORY, found, 0)
    assert verdict.after is None
    assert verdict.wrong > 0


def test_what_was_acknowledged_before_is_lost() -> None:
    assert judge(HISTORY, {A: 0}, 3).lost == 2


def test_points_of_other_writers_are_none_of_its_own() -> None:
    other = History(1).ids_from(0, 1)[0]
    assert judge(HISTORY, {B: 1, other: 7}, 3).after == 3
