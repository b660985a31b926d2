"""What a catalog comes to: only good groups count, and what is not known is not told."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.inventory import (
    GroupSummary,
    partial_backups,
    rank_of,
    summary_of,
    take_inventory,
    unverified,
)
from cleancut.core.maintenance.schedule import ScheduleRule, worst_gap_s
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.core.protocol.etcd_records import SickCollection
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.catalog_reader import CatalogReader
from cleancut.repository.verification_log import put_check
from cleancut.testing.memory_store import MemoryStore
from tests.support.groups import manifest, shard

PATHS = Paths(ClusterName("prod"))
HOUR_S, DAY_S = 3600.0, 86400.0


def group(epoch: int, size: int = 100, schedule: str = "nightly", *names: str) -> GroupSummary:
    return GroupSummary(
        Epoch(epoch),
        schedule,
        1000.0 * epoch,
        Consistency.POINT_IN_TIME,
        False,
        0.1,
        size,
        1,
        frozenset(names or {"docs"}),
    )


def test_the_usual_consistency_is_that_of_most_before() -> None:
    """So that a single one that was worse before does not make the next one look usual."""
    worse = group(2)._replace(consistency=Consistency.PER_SHARD)
    fenced = group(3)._replace(fenced=True)
    newest = take_inventory([group(1), worse, fenced, group(4), group(5)], 0, ())
    assert newest.schedules["nightly"].usual_rank == 2
    assert take_inventory([group(1)], 0, ()).schedules["nightly"].usual_rank is None


def test_a_damaged_group_protects_nothing() -> None:
    """The age of a backup is that of the newest one that can be believed."""
    stock = take_inventory([group(1), group(2)], 0, {Epoch(2)})
    assert (stock.good, stock.corrupt) == (1, 1)
    assert stock.schedules["nightly"].group.epoch == 1
    assert stock.collections == {"docs": 1000.0}


def test_an_imported_group_makes_nothing_newer() -> None:
    imported = group(2)._replace(consistency=Consistency.IMPORTED)
    stock = take_inventory([group(1), imported], 0, ())
    assert (stock.good, stock.collections) == (2, {"docs": 1000.0})
    assert stock.schedules["nightly"].group.epoch == 1


def test_each_schedule_and_each_collection_has_a_newest_of_its_own() -> None:
    stock = take_inventory([group(3, 1, "", "logs"), group(1, 1, "nightly", "docs", "logs")], 2, ())
    assert {name: one.group.epoch for name, one in stock.schedules.items()} == {"nightly": 1, "": 3}
    assert stock.collections == {"docs": 1000.0, "logs": 3000.0}
    assert stock.corrupt == 2


@pytest.mark.parametrize(
    ("sizes", "usual"),
    [([5], None), ([100, 1], 100), ([100, 100, 1, 1], 100), ([1, *[9] * 7, 3], 9)],
)
def test_what_is_usual_is_the_median_of_those_before(sizes: list[int], usual: float | None) -> None:
    """One odd size, large or small, changes nothing; what became small for good is usual soon."""
    groups = [group(epoch, size) for epoch, size in enumerate(sizes, start=1)]
    newest = take_inventory(groups, 0, ()).schedules["nightly"]
    assert (newest.group.size_bytes, newest.usual_size_bytes) == (sizes[-1], usual)


def test_consistency_ranks_by_what_it_proves() -> None:
    kinds = [(Consistency.PER_SHARD, False), (Consistency.POINT_IN_TIME, False)]
    kinds.append((Consistency.POINT_IN_TIME, True))
    assert [rank_of(one, fenced=fenced) for one, fenced in kinds] == [1, 2, 3]


@pytest.mark.parametrize(
    ("cron", "zone", "gap_s"),
    [
        ("* * * * *", "UTC", 60.0),
        ("30 2 * * *", "UTC", DAY_S),
        ("30 2 * * *", "Europe/Berlin", DAY_S + HOUR_S),
        ("0 3 * * 1-5", "UTC", 3 * DAY_S),
        ("*/5 9-17 * * 1-5", "UTC", 2 * DAY_S + 15 * HOUR_S + 300),
        ("0 3 1 * *", "UTC", 31 * DAY_S),
        ("0 3 1 1 *", "UTC", 366 * DAY_S),
    ],
)
def test_the_interval_is_the_longest_gap(cron: str, zone: str, gap_s: float) -> None:
    """Who backs up on weekdays is not late on Sunday."""
    gap = worst_gap_s(ScheduleRule(cron=cron, time_zone=zone))
    assert gap == gap_s or (cron == "0 3 1 1 *" and gap in {365 * DAY_S, 366 * DAY_S})


def test_stock_is_taken_of_what_can_be_read_and_proven() -> None:
    """A broken manifest is corrupt, a deleted one is none, and a group whose last drill went wrong
    is not good until the next one goes well; groups are read once."""

    async def body() -> None:
        store = MemoryStore()
        for epoch in (1, 2, 3):
            made = manifest(epoch, (shard("docs", 0), shard("docs", 1)))
            await store.put(PATHS.group(Epoch(epoch)), encode(made))
        await store.put(PATHS.group(Epoch(4)), b'{"format": 1}')
        await store.put(PATHS.tombstone(Epoch(1)), b"{}")
        stock = CatalogReader(store, PATHS)
        found, proven = await stock.read()
        assert (found.good, found.corrupt, proven) == (2, 1, {})
        assert found.schedules[""].group.size_bytes == 2000
        assert await stock.size_bytes() == sum(map(len, store.objects.values()))

        for at, problems in (("2026-01-02T00:00:00.000Z", ("gone",)), ("2026-01-03T00:00:00Z", ())):
            check = VerificationRecord(level=Level.DRILL, epoch=Epoch(3), at=at, problems=problems)
            await put_check(store, PATHS, check)
            found, proven = await stock.read()
            assert found.schedules[""].group.epoch == (2 if problems else 3)
            assert bool(proven) is not bool(problems)

        del store.objects[PATHS.group(Epoch(4))]
        store.objects[PATHS.group(Epoch(3))] = b"never read again"
        found, _ = await stock.read()
        assert (found.good, found.corrupt) == (2, 0)

    asyncio.run(body())


def test_what_a_partial_backup_lacks_is_known_until_a_later_one_holds_it() -> None:
    nightly = group(3)._replace(missing=("logs", "users"))
    stock = take_inventory([group(1, 100, "", "logs", "users"), nightly], 0, ())
    assert partial_backups(stock) == ((3, ("logs", "users")),)
    later = group(4, 100, "", "users")
    assert partial_backups(take_inventory([nightly, later], 0, ())) == ((3, ("logs",)),)
    assert partial_backups(take_inventory([nightly, group(4)], 0, ())) == (), "not the newest"


def test_a_manifest_says_what_is_missing_in_it() -> None:
    sick = (SickCollection(name="rf1", reason="no replica can be read"),)
    assert summary_of(replace(manifest(1, (shard("docs", 0),)), missing=sick)).missing == ("rf1",)


def test_a_schedule_whose_backups_the_checks_pass_over_is_named() -> None:
    """Both are hourly, and each check finds the newest backup, which one of them made."""
    found = [group(1, 100, "a"), group(2, 100, "b"), group(3, 100, "a"), group(4, 100, "b")]
    assert unverified(found, {Epoch(2)}, 2500.0) == {"a": 3}
    assert unverified(found, {Epoch(2), Epoch(3)}, 3500.0) == {}
    assert unverified(found, {}, 0.0) == {}, "nothing was checked: that is told by itself"


def test_a_schedule_whose_checked_backups_have_expired_is_not_named() -> None:
    """All that is there was made since the newest check, as are those of a new schedule."""
    found = [group(8, 100, "a"), group(9, 100, "new"), group(1, 100, "")]
    assert unverified(found, {Epoch(7)}, 7500.0) == {}
