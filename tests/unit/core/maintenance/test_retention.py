"""What retention lets go: rules on calendars, and what it never touches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.maintenance.retention import (
    GroupFacts,
    Policy,
    Retention,
    check_retention,
    find_expired,
)
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId

DAY_S = 86400.0
NOW_S = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
BOOKS = frozenset({"books"})


def group(
    epoch: int, days_ago: float, *, point_in_time: bool = True, collections: frozenset[str] = BOOKS
) -> GroupFacts:
    cut_s = NOW_S - days_ago * DAY_S
    return GroupFacts(Epoch(epoch), OperationId(f"b-{epoch}"), cut_s, collections, point_in_time)


def kept(groups: Sequence[GroupFacts], rules: Retention, **schedules: Retention) -> list[int]:
    policy = Policy(rules, schedules)
    expired = {one.epoch for one in find_expired(groups, policy, NOW_S)}
    return [one.epoch for one in groups if one.epoch not in expired]


HOURLY = [group(100 - hours, hours / 24) for hours in range(99, -1, -1)]
"""One an hour up to now, noon; epoch 100 is the newest."""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Retention(), [one.epoch for one in HOURLY]),
        (Retention(keep_last=3), [98, 99, 100]),
        (Retention(keep_hourly=2), [99, 100]),
        (Retention(keep_daily=3), [63, 87, 100]),
        (Retention(keep_weekly=2), [87, 100]),
        (Retention(keep_monthly=9), [100]),
        (Retention(keep_yearly=1), [100]),
        (Retention(keep_last=2, keep_daily=2), [87, 99, 100]),
        (Retention(max_age_days=0.1), [98, 99, 100]),
        (Retention(max_age_days=0.1, min_count=5), [96, 97, 98, 99, 100]),
        (Retention(keep_daily=9, max_age_days=1), [87, 100]),
    ],
)
def test_rules(rules: Retention, expected: list[int]) -> None:
    """By the end of a day, week (Monday, 15 June is one), month or year in UTC."""
    assert kept(HOURLY, rules) == expected


def test_the_newest_of_each_collection_stays() -> None:
    """Also the newest that is point_in_time, though newer ones are not."""
    shelves = frozenset({"shelves"})
    groups = [
        group(1, 40, collections=shelves),
        group(2, 30, collections=shelves, point_in_time=False),
        group(3, 20),
        group(4, 10),
        group(5, 5, point_in_time=False),
        group(6, 4, point_in_time=False),
    ]
    assert kept(groups, Retention(keep_last=1)) == [1, 2, 4, 6]
    assert kept(groups, Retention(max_age_days=1)) == [1, 2, 4, 6]


def test_a_schedule_with_rules_of_its_own_is_judged_by_those_alone() -> None:
    """Groups of a schedule without any, or of one that is gone, share the general rules."""
    made = ["", "hourly", "nightly", "hourly", "gone", "hourly", "nightly", "hourly", ""]
    groups = [group(n + 1, 9.0 - n)._replace(schedule=name) for n, name in enumerate(made)]
    general = Retention(keep_last=3)
    assert kept(groups, general) == [7, 8, 9]
    assert kept(groups, general, hourly=Retention(keep_last=1)) == [5, 7, 8, 9]
    assert kept(groups, Retention(), hourly=Retention(keep_last=1)) == [1, 3, 5, 7, 8, 9]
    two = {"hourly": Retention(max_age_days=5.5, min_count=3), "nightly": Retention(keep_last=9)}
    assert kept(groups, general, **two) == [1, 3, 4, 5, 6, 7, 8, 9]


RULES = st.builds(
    Retention,
    keep_last=st.integers(0, 4),
    keep_hourly=st.integers(0, 4),
    keep_daily=st.integers(0, 4),
    keep_weekly=st.integers(0, 4),
    keep_monthly=st.integers(0, 4),
    keep_yearly=st.integers(0, 4),
    max_age_days=st.sampled_from([0.0, 0.5, 3.0, 400.0]),
    min_count=st.integers(1, 4),
)
GROUPS = st.lists(
    st.tuples(
        st.floats(0, 900),
        st.booleans(),
        st.frozensets(st.sampled_from(["a", "b", "c"])),
    ),
    max_size=30,
).map(
    lambda made: [
        group(index + 1, days, point_in_time=point_in_time, collections=names)
        for index, (days, point_in_time, names) in enumerate(sorted(made, key=lambda one: -one[0]))
    ]
)


@given(GROUPS, RULES)
def test_what_never_goes(groups: list[GroupFacts], rules: Retention) -> None:
    """The newest `min_count`; of each collection the newest, and the newest point_in_time one; and
    the rules, applied again, change nothing. A rule that keeps more never lets go of more."""
    stays = [one for one in groups if one.epoch in kept(groups, rules)]
    assert stays[-rules.min_count :] == groups[-rules.min_count :]
    for name in ("a", "b", "c"):
        for point_in_time in ({True, False}, {True}):
            those = [
                g for g in groups if name in g.collections and g.point_in_time in point_in_time
            ]
            assert not those or those[-1] in stays
    assert kept(stays, rules) == [one.epoch for one in stays]
    if rules.counts:
        more = replace(rules, keep_last=rules.keep_last + 1, keep_daily=rules.keep_daily + 1)
        assert set(kept(groups, rules)) <= set(kept(groups, more))


@pytest.mark.parametrize("rules", [Retention(keep_last=-1), Retention(min_count=0)])
def test_rules_that_cannot_be_meant(rules: Retention) -> None:
    with pytest.raises(Invalid):
        check_retention(rules, "[retention]")


def test_damaged_groups_take_no_whole_ones_place() -> None:
    """They stay where they would anyway; the newest whole one is never deleted."""
    groups = [
        group(epoch, 10.0 - epoch, point_in_time=True)._replace(damaged=epoch > 2)
        for epoch in range(1, 8)
    ]
    assert kept(groups, Retention(keep_last=3)) == [1, 2, 5, 6, 7]
    assert kept(groups, Retention(keep_last=1)) == [2, 7]
    assert 2 in kept(groups, Retention(max_age_days=1.0))
