"""The judgement of protection: each collection against its schedule's limit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cleancut.core.doctor.protection import (
    UNSCHEDULED_S,
    Promise,
    ProtectingBackup,
    RestoreTest,
    judge_protection,
    summary,
    unknown_protection,
)
from cleancut.core.primitives.ids import Epoch

HOUR = 3600.0
NOW = 1000 * HOUR
NIGHTLY = Promise("nightly", 36 * HOUR)
HOURLY = Promise("hourly", 1.5 * HOUR, ("orders",))


def backup(
    epoch: int,
    hours: float,
    *names: str,
    schedule: str = "nightly",
    damaged: bool = False,
    imported: bool = False,
) -> ProtectingBackup:
    """One that was cut so many hours ago."""
    return ProtectingBackup(
        Epoch(epoch), NOW - hours * HOUR, names or ("docs",), schedule, damaged, imported
    )


@pytest.mark.parametrize(
    ("backups", "promises", "live", "reason"),
    [
        ([backup(1, 3)], [NIGHTLY], ["docs"], ""),
        ([backup(1, 36)], [NIGHTLY], ["docs"], ""),
        (
            [backup(1, 37)],
            [NIGHTLY],
            ["docs"],
            "'docs', #1, is 37 h old: schedule 'nightly' allows 36 h",
        ),
        ([backup(1, 25)], [], ["docs"], ""),
        ([backup(1, 27)], [], ["docs"], "is 27 h old: the limit without a schedule is 26 h"),
        ([], [NIGHTLY], [], ""),
        ([], [NIGHTLY], ["docs"], "no backup holds 'docs'"),
        ([backup(1, 3)], [NIGHTLY], ["docs", "new"], "no backup holds 'new'"),
        ([backup(1, 3, damaged=True)], [NIGHTLY], ["docs"], "every backup of 'docs' is damaged"),
        ([backup(1, 30), backup(2, 3, damaged=True)], [NIGHTLY], ["docs"], ""),
        ([backup(1, 60), backup(2, 3, damaged=True)], [NIGHTLY], ["docs"], "#1, is 2 days old"),
        ([backup(1, 3, imported=True)], [NIGHTLY], ["docs"], "no backup holds 'docs'"),
        # a manual backup protects as well as a scheduled one
        ([backup(1, 60), backup(2, 1, schedule="")], [NIGHTLY], ["docs"], ""),
        # the strictest schedule counts, for the collections that it covers
        ([backup(1, 3, "docs", "orders")], [NIGHTLY, HOURLY], ["docs"], ""),
        ([backup(1, 3, "docs", "orders")], [NIGHTLY, HOURLY], ["orders"], "'hourly' allows 90 min"),
        # what a partial backup lacks is judged by the one before
        ([backup(1, 60, "a", "b"), backup(2, 1, "a")], [NIGHTLY], ["a", "b"], "'b', #1, is 2 days"),
        # left out by name, and by all: on purpose
        ([backup(1, 3)], [Promise("nightly", 36 * HOUR, (), ("tmp",))], ["docs", "tmp"], ""),
        # left out by one schedule, covered by another
        (
            [backup(1, 3)],
            [Promise("nightly", 36 * HOUR, (), ("tmp",)), Promise("tmp", HOUR, ("tmp",))],
            ["docs", "tmp"],
            "no backup holds 'tmp'",
        ),
        # copies that a restore has put next to the real ones
        ([backup(1, 3)], [NIGHTLY], ["docs", "docs@r-0123456789abcdef"], ""),
        # a schedule with a single time has no interval
        ([backup(1, 27)], [Promise("once", float("inf"))], ["docs"], "is 27 h old"),
        # a clock that was ahead makes no backup too old
        ([backup(1, -1)], [NIGHTLY], ["docs"], ""),
    ],
)
def test_protected_only_if_each_collection_has_a_young_whole_backup(
    backups: Sequence[ProtectingBackup], promises: Sequence[Promise], live: list[str], reason: str
) -> None:
    found = judge_protection(backups, promises, live, NOW)
    assert found.protected == (not reason), found.reason
    assert reason in found.reason


RESTORED = "docs@r-0123456789abcdef"
DOCS = Promise("docs", 36 * HOUR, ("docs",))
BEHIND = {"docs": RESTORED}


@pytest.mark.parametrize(
    ("backups", "promises", "reason"),
    [
        # as just after an overwrite: the backups hold the old collection
        ([backup(1, 3)], [DOCS], f"no backup holds '{RESTORED}'"),
        # the schedule names the alias, and so covers what is behind it
        ([backup(2, 3, RESTORED)], [DOCS], ""),
        ([backup(2, 37, RESTORED)], [DOCS], "schedule 'docs' allows 36 h"),
        # left out by the alias
        ([backup(1, 3)], [NIGHTLY._replace(exclude=("docs",))], ""),
    ],
)
def test_what_is_behind_an_alias_is_judged_by_its_name(
    backups: Sequence[ProtectingBackup], promises: Sequence[Promise], reason: str
) -> None:
    """Also if a restore has made it."""
    found = judge_protection(backups, promises, [RESTORED], NOW, aliases=BEHIND)
    assert [one.name for one in found.collections] == [RESTORED]
    assert found.protected == (not reason), found.reason
    assert reason in found.reason


def test_without_the_cluster_the_newest_backups_know_what_is_behind_an_alias() -> None:
    old = backup(1, 30)
    new = backup(2, 3, RESTORED, schedule="docs")._replace(aliases=BEHIND)
    found = judge_protection([old, new], [DOCS], None, NOW)
    (judged,) = (one for one in found.collections if one.name == RESTORED)
    assert (judged.backup, judged.schedule) == (2, "docs")


def test_each_collection_says_which_backup_and_which_limit() -> None:
    backups = [backup(1, 30, "docs", "orders"), backup(2, 1, "orders", schedule="hourly")]
    promises = [NIGHTLY, HOURLY, Promise("weekly", 240 * HOUR)]
    found = judge_protection(backups, promises, ["orders", "docs", "none"], NOW)
    docs, none, orders = found.collections
    assert (docs.name, docs.backup, docs.schedule, docs.limit_s) == (
        "docs",
        1,
        "nightly",
        36 * HOUR,
    )
    assert (orders.backup, orders.schedule, orders.age_s) == (2, "hourly", HOUR)
    assert (none.backup, none.protected) == (0, False)
    assert found.newest is not None
    assert (found.newest.epoch, found.newest.schedule) == (2, "hourly")
    assert found.newest.limit_s == 1.5 * HOUR


def test_a_manual_backup_is_measured_by_the_strictest_schedule() -> None:
    """The first line of a status names the limit that the verdict is made of."""
    made = backup(2, 1, "docs", "orders", schedule="")
    found = judge_protection([made], [NIGHTLY, HOURLY], ["docs", "orders"], NOW)
    assert found.newest is not None
    assert (found.newest.schedule, found.newest.limit_s) == ("hourly", 1.5 * HOUR)
    assert "(hourly: at most 90 min)" in summary(found, NOW)


def test_a_damaged_backup_is_not_the_newest_one() -> None:
    found = judge_protection([backup(1, 3), backup(2, 1, damaged=True)], [NIGHTLY], ["docs"], NOW)
    assert found.newest is not None
    assert found.newest.epoch == 1


def test_without_the_cluster_the_newest_backup_of_each_schedule_names_the_collections() -> None:
    """A collection that was deleted since does not make the whole unprotected."""
    old = [backup(1, 90, "gone", schedule=""), backup(2, 50, "gone", "docs")]
    found = judge_protection([*old, backup(3, 3, "docs")], [NIGHTLY], None, NOW)
    assert [one.name for one in found.collections] == ["docs"]
    manual = judge_protection([backup(1, 3, "docs", schedule="")], [], None, NOW)
    assert [one.name for one in manual.collections] == ["docs"]
    assert manual.collections[0].limit_s == UNSCHEDULED_S


def test_without_the_cluster_no_backup_hides_what_another_selection_holds() -> None:
    """Neither a partial backup, nor a schedule without any, nor a manual backup of one collection
    makes the others unknown."""

    def names(*backups: ProtectingBackup, promises: Sequence[Promise] = ()) -> list[str]:
        return [one.name for one in judge_protection(backups, promises, None, NOW).collections]

    assert names(backup(2, 3, "a")._replace(missing=("b",))) == ["a", "b"]
    assert names(backup(2, 3, "a"), promises=[NIGHTLY, HOURLY]) == ["a", "orders"]
    manual = (backup(1, 50, "b", schedule=""), backup(2, 3, "a", schedule=""))
    assert names(*manual) == ["a", "b"]
    assert names(backup(0, 400, "gone", schedule=""), *manual) == ["a", "b"]


def test_the_first_line_has_the_verdict_the_newest_backup_and_the_last_restore_test() -> None:
    drill = RestoreTest(kind="drill", at_s=NOW - 50 * HOUR, epoch=15)
    good = judge_protection([backup(17, 3)], [NIGHTLY], ["docs"], NOW, last_restore_test=drill)
    assert summary(good, NOW) == (
        "Protected: 'docs' has a recent whole backup; newest #17, 3 h old (nightly: at most 36 h);"
        " last restore test 2 days ago (drill of #15)"
    )
    bad = judge_protection([], [NIGHTLY], ["docs"], NOW)
    assert summary(bad, NOW) == "NOT protected: no backup holds 'docs'; never restore-tested"


def test_an_unread_catalog_protects_nothing_as_far_as_is_known() -> None:
    found = unknown_protection("the store does not answer")
    assert (found.protected, found.known) == (False, False)
    assert summary(found, NOW) == (
        "NOT protected: nothing is known of the backups: the store does not answer"
    )


def test_an_age_just_over_its_limit_reads_differently_from_it() -> None:
    found = judge_protection([backup(1, 36.5)], [NIGHTLY], ["docs"], NOW)
    assert "is 1d12h old: schedule 'nightly' allows 36 h" in found.reason


def test_an_empty_catalog_without_the_cluster_is_not_protected() -> None:
    """That nothing is known to need a backup is no protection."""
    assert not judge_protection([], [NIGHTLY], None, NOW).protected
    assert not judge_protection([backup(1, 1, imported=True)], [NIGHTLY], None, NOW).protected
