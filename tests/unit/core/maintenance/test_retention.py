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
    needs_confirmation,
    plan_retention,
)
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId

DAY_S = 86400.0
NOW_S = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
BOOKS = frozenset({"books"})


def group(
    epoch: int, days_ago: float, *, point_in_time: bool = True, collections: frozenset[str] = BOOKS
) -> GroupFacts:
    cut_s, id_ = NOW_S - days_ago * DAY_S, OperationId(f"b-{epoch}")
    return GroupFacts(Epoch(epoch), id_, cut_s, collections, collections, point_in_time)


def kept(groups: Sequence[GroupFacts], rules: Retention, **schedules: Retention) -> list[int]:
    names = frozenset({"hourly", "nightly"})
    plan = plan_retention(groups, Policy(rules, schedules, known=names), NOW_S, {})
    expired = {one.epoch for one in plan.expired}
    stays = [one.epoch for one in groups if one.epoch not in expired]
    assert sorted(stays) == [one.epoch for one in plan.kept]
    return stays


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


def test_each_schedule_is_judged_alone() -> None:
    """By its own rules, or by the general ones; so are backups by hand."""
    made = ["", "hourly", "nightly", "hourly", "", "hourly", "nightly", "hourly", ""]
    groups = [group(n + 1, 9.0 - n)._replace(schedule=name) for n, name in enumerate(made)]
    general = Retention(keep_last=1)
    assert kept(groups, general) == [7, 8, 9]
    assert kept(groups, general, hourly=Retention(keep_last=3)) == [4, 6, 7, 8, 9]
    assert kept(groups, Retention(), hourly=Retention(keep_last=1)) == [1, 3, 5, 7, 8, 9]
    two = {"hourly": Retention(max_age_days=5.5, min_count=3), "nightly": Retention(keep_last=9)}
    assert kept(groups, general, **two) == [3, 4, 6, 7, 8, 9]


def test_backups_of_one_collection_displace_none_of_the_cluster() -> None:
    """What was asked for separates them, not what the cluster held at the time: a new collection
    starts no new count."""
    books, both = frozenset({"books"}), frozenset({"books", "shelves"})
    whole = [group(n, 60.0 - n, collections=both) for n in range(1, 4)]
    grown = [group(4, 56.0, collections=both | {"new"})]
    minutely = [group(n, 50.0 - n)._replace(selected=books) for n in range(5, 40)]
    groups = [*whole, *grown, *minutely]
    assert kept(groups, Retention(keep_last=3)) == [2, 3, 4, 37, 38, 39]


def test_backups_of_all_but_some_are_counted_on_when_collections_come_and_go() -> None:
    """Each set of collections that was left was a set of its own, of which the newest stayed for
    ever. One that names what these hold, and one that excludes something else, are others."""
    a, b, c = (frozenset({name}) for name in "abc")

    def but(excluded: frozenset[str], epoch: int, held: frozenset[str]) -> GroupFacts:
        made = group(epoch, 60.0 - epoch, collections=held)
        return made._replace(selected=held, excluded=excluded)

    groups = [but(c, 1, a), but(c, 2, a | b), but(c, 3, b), but(c, 4, a), but(c, 5, a | b)]
    assert kept(groups, Retention(keep_last=2)) == [4, 5]
    named = [group(number, 60.0 - number)._replace(selected=c) for number in (6, 7, 8)]
    others = [but(b, 9, a), but(a, 10, c)]
    assert kept([*groups, *named, *others], Retention(keep_last=2)) == [4, 5, 7, 8, 9, 10]


def test_backups_of_all_but_some_by_an_older_version_stay_as_they_did() -> None:
    """What they excluded is not known: each set that was left is one of its own, as before."""
    a, both = frozenset({"a"}), frozenset({"a", "b"})
    old = [
        group(number, 60.0 - number, collections=held)._replace(selected=held)
        for number, held in enumerate((a, a, both, both), 1)
    ]
    new = [
        group(number, 60.0 - number, collections=a)._replace(selected=a, excluded=frozenset("c"))
        for number in (5, 6, 7)
    ]
    rules = Retention(keep_last=1)
    assert kept(old, rules) == [2, 4]
    assert kept([*old, *new], rules) == [2, 4, 7]


def test_backups_of_unknown_schedules_stay() -> None:
    """A schedule that was renamed or removed: its rules are not known any more."""
    groups = [group(n, 20.0 - n)._replace(schedule="monthly") for n in range(1, 6)]
    groups += [group(n, 20.0 - n) for n in range(6, 10)]
    plan = plan_retention(groups, Policy(Retention(keep_last=1, max_age_days=3)), NOW_S, {})
    assert [one.epoch for one in plan.expired] == [6, 7, 8]
    assert plan.unknown == ("monthly",)
    assert plan.kept[0].why == "schedule 'monthly' is not configured"


def test_a_backup_of_the_future_stays_and_takes_no_place() -> None:
    """It was made under a wrong clock, so it is not the newest one for any rule."""
    groups = [group(1, 3), group(2, 2), group(3, -400), group(4, 1)]
    assert kept(groups, Retention(keep_last=1)) == [3, 4]
    assert kept(groups[:3], Retention(keep_last=1)) == [2, 3]
    assert kept(groups[:3], Retention(max_age_days=1)) == [2, 3]


def test_a_backup_made_under_a_clock_that_was_behind_is_not_old() -> None:
    groups = [group(1, 3), group(2, 4000), group(3, 1), group(4, 0.5)]
    assert kept(groups, Retention(max_age_days=10)) == [1, 2, 3, 4]


def test_damaged_backups_take_no_place_of_whole_ones() -> None:
    groups = [group(n, 9.0 - n)._replace(damaged=n > 2) for n in range(1, 7)]
    assert kept(groups, Retention(keep_last=1)) == [2, 6]
    assert kept(groups, Retention(keep_last=2)) == [1, 2, 5, 6]
    assert kept(groups, Retention(max_age_days=1)) == [2, 6]


@pytest.mark.parametrize(
    ("total", "keep_last", "share", "asks"),
    [
        (12, 8, 1 / 3, False),
        (12, 7, 1 / 3, True),
        (2, 1, 1 / 3, False),
        (3, 1, 1 / 3, True),
        (10, 1, 1.0, False),
        (10, 8, 0.0, True),
        (10, 9, 0.0, False),
    ],
)
def test_a_large_share_needs_a_confirmation(
    total: int, keep_last: int, share: float, asks: bool
) -> None:
    policy = Policy(Retention(keep_last=keep_last), max_expire_share=share)
    groups = [group(n, 100.0 - n) for n in range(total)]
    assert needs_confirmation(plan_retention(groups, policy, NOW_S, {}), policy) is asks


def test_a_plan_names_the_rule_of_each() -> None:
    groups = [group(1, 40), group(2, 3), group(3, 2), group(4, 1, point_in_time=False)]
    policy = Policy(Retention(keep_last=1, keep_monthly=2))
    plan = plan_retention(groups, policy, NOW_S, {Epoch(2): "held as 'audit'"})
    assert [(one.epoch, one.why) for one in plan.kept] == [
        (1, "keep-monthly"),
        (2, "held as 'audit'"),
        (3, "newest point-in-time backup of 'books'"),
        (4, "keep-last"),
    ]


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


def test_imported_groups_neither_expire_nor_take_the_place_of_others() -> None:
    groups = [group(1, 9), group(2, 8), group(3, 7)._replace(imported=True)]
    assert kept(groups, Retention(keep_last=1)) == [2, 3]


RESTORED = frozenset({"books@r-0123456789abcdef"})


def behind(epoch: int, days_ago: float, collections: frozenset[str]) -> GroupFacts:
    """Of what is behind the alias `books`, which is what was asked for."""
    return group(epoch, days_ago, collections=collections)._replace(counted=BOOKS, selected=BOOKS)


def test_an_alias_is_counted_on_whatever_is_behind_it() -> None:
    """A schedule that names `books` keeps as many as ever when `books` becomes an alias, and again
    when that points elsewhere: none goes early, and none of what is gone stays for ever."""
    real = [group(number, 9 - number)._replace(selected=BOOKS) for number in (1, 2, 3)]
    first = [behind(number, 9 - number, RESTORED) for number in (4, 5)]
    other = frozenset({"books@r-0123456789abcdee"})
    second = [behind(number, 9 - number, other) for number in (6, 7, 8)]
    rules = Retention(keep_last=3)
    assert kept(real, rules) == [1, 2, 3]
    assert kept([*real, *first[:1]], rules) == [2, 3, 4]
    assert kept([*real, *first], rules) == [3, 4, 5]
    assert kept([*real, *first, *second], rules) == [6, 7, 8]


def lasting(epoch: int, days_ago: float, days: float) -> GroupFacts:
    """A group with a life of its own."""
    return group(epoch, days_ago)._replace(keep_s=days * DAY_S)


def test_a_life_of_its_own_decides_alone() -> None:
    """Until its end no rule expires it, afterwards none keeps it; it takes no place of others."""
    groups = [lasting(1, 29, 30), lasting(2, 9, 7), group(3, 8), lasting(4, 2, 30), group(5, 1)]
    assert kept(groups, Retention(keep_last=1)) == [1, 4, 5]
    assert kept(groups, Retention(keep_last=2)) == [1, 3, 4, 5]
    assert kept(groups, Retention(max_age_days=3)) == [1, 4, 5]
    assert kept(groups, Retention(keep_daily=100)) == [1, 3, 4, 5]
    assert kept(groups, Retention()) == [1, 3, 4, 5], "without rules it ends as well"
    plan = plan_retention(groups, Policy(Retention(keep_last=1)), NOW_S, {})
    why = {int(one.epoch): one.why for one in (*plan.kept, *plan.expired)}
    assert why[1] == "its own life, until 2026-06-16T12:00:00Z"
    assert why[2] == "its own life ended at 2026-06-13T12:00:00Z"


def test_the_newest_whole_backup_outlives_its_own_life() -> None:
    hurt = lasting(3, 8, 1)._replace(damaged=True)
    assert kept([group(1, 30), lasting(2, 9, 1), hurt], Retention(keep_last=1)) == [1, 2, 3]
    assert kept([lasting(1, 30, 1), lasting(2, 9, 1)], Retention()) == [2]


def test_a_life_is_kept_under_a_hold() -> None:
    groups = [lasting(1, 9, 1), group(2, 1)]
    plan = plan_retention(groups, Policy(), NOW_S, {Epoch(1): "held"})
    assert not plan.expired
