"""Copies that a coordinator makes by a schedule, and collects by the rules of their store."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.copying.run import CopyRequest
from cleancut.core.maintenance.copying import Scope
from cleancut.core.maintenance.retention import Retention
from cleancut.core.maintenance.schedule import Do, ScheduleRule
from cleancut.core.maintenance.stores import StoreRule, expected_age_s
from cleancut.core.maintenance.stories import GOOD
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Owner
from cleancut.ports.coordination import Put
from cleancut.ports.store import ObjectInfo
from cleancut.repository.catalog import list_epochs
from cleancut.repository.history import list_stories, read_stories
from cleancut.repository.holds import put_reason
from cleancut.runtime.log import configure_logging
from cleancut.store.open import open_store
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext, CopyStore, GcSettings
from cleancut_coordinator.maintenance.copy_collector import Collected, CopyCollector
from cleancut_coordinator.maintenance.scheduled_checks import (
    Outcome,
    _environment,
    run_check,
    run_repair,
)
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.monitoring.copy_reader import CopyReader
from tests.support.capturing import PATHS
from tests.support.copied import CLOCK, OWNER, TwoStores, copied_objects
from tests.unit.coordinator.maintenance.test_garbage_collector import Alive

NEW = CopyRequest(scope=Scope.NEW, read_percent=0)
LOG = configure_logging("error", "test")
NAME = "second"


class Site:
    """A coordinator of the source that has the target as [store.second]."""

    def __init__(self, stores: TwoStores, retention: Retention | None = None) -> None:
        self.stores = stores
        rule = StoreRule(url="file:///target", retention=retention)
        self.context = CoordinatorContext(
            name="c0",
            store_url="file:///source",
            keys=Keys(PATHS.cluster),
            paths=PATHS,
            etcd=MemoryEtcd(CLOCK),
            store=stores.source,
            peers=(),
            clock=CLOCK,
            gc=GcSettings(),
            stores={NAME: CopyStore(rule, stores.target)},
        )

    def collect(self) -> Collected:
        return asyncio.run(self._collect())

    async def _collect(self) -> Collected:
        etcd, key = self.context.etcd, self.context.keys.id
        await etcd.txn([], [Put(key, OWNER.encode())])
        collector = CopyCollector(self.context, Alive(), CoordinatorMetrics("prod"), LOG)
        return await collector.collect(NAME)

    def epochs(self) -> list[Epoch]:
        return asyncio.run(list_epochs(self.stores.target, PATHS))

    def lose(self, epoch: int) -> None:
        """The source has expired this group and deleted what only that one named."""
        source = self.stores.source
        kept = set(self.stores.source.objects) - self.stores.made[epoch]
        source.objects = {path: source.objects[path] for path in kept}
        source.objects[PATHS.tombstone(Epoch(epoch))] = encode_stone()


def encode_stone() -> bytes:
    return b'{"deleted_at":"2026-01-01T00:00:00Z","why":"test"}'


class Shelf(TwoStores):
    """Remembers which objects each group has brought."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made: dict[int, set[str]] = {}

    def add(self, epoch: int) -> None:
        before = set(self.source.objects)
        self.publish(epoch)
        self.made[epoch] = set(self.source.objects) - before


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path)
    for epoch in (5, 6, 7):
        made.add(epoch)
    return made


def test_a_copy_without_rules_keeps_what_the_source_has_deleted(shelf: Shelf) -> None:
    shelf.copy(NEW)
    before = copied_objects(shelf.target)
    site = Site(shelf)
    site.lose(5)
    assert site.collect() == Collected()
    assert copied_objects(shelf.target) == before


def test_a_copy_that_is_under_way_is_not_garbage(shelf: Shelf) -> None:
    """All of it but the manifest is there: for as long as the source has the group."""
    shelf.copy(NEW)
    whole = copied_objects(shelf.target)
    half = {path: data for path, data in whole.items() if path != PATHS.group(Epoch(6))}
    shelf.target.objects = dict(half)
    site = Site(shelf)
    site.collect()
    assert copied_objects(shelf.target) == half
    site.lose(6)
    done = site.collect()
    assert done.deleted_objects == len(shelf.made[6]) - 1
    assert not shelf.made[6] & set(shelf.target.objects)
    assert site.epochs() == [5, 7]


def test_the_rules_of_the_store_expire_its_backups_and_they_do_not_come_back(shelf: Shelf) -> None:
    for epoch in (8, 9, 10, 11):
        shelf.add(epoch)
    shelf.copy(NEW)
    site = Site(shelf, Retention(keep_last=5))
    assert site.collect().expired == 2
    assert site.epochs() == [7, 8, 9, 10, 11]
    assert shelf.made[5] & set(shelf.target.objects), "the source may still copy what names them"
    assert [one.state for one in shelf.copy(NEW).backups] == ["left out", "left out"]
    site.lose(5)
    site.collect()
    left = shelf.made[5] & set(shelf.target.objects)
    assert not left
    assert shelf.made[6] & set(shelf.target.objects)


def test_held_backups_of_a_copy_stay(shelf: Shelf) -> None:
    for epoch in (8, 9, 10, 11):
        shelf.add(epoch)
    shelf.copy(NEW)
    label = put_reason(shelf.target, PATHS, Epoch(5), "audit", now_s=CLOCK.wall_s(), for_s=0)
    asyncio.run(label)
    site = Site(shelf, Retention(keep_last=5))
    site.collect()
    assert site.epochs() == [5, 7, 8, 9, 10, 11]


def test_too_many_at_once_stop_the_run(shelf: Shelf) -> None:
    shelf.copy(NEW)
    site = Site(shelf, Retention(keep_last=1))
    with pytest.raises(Refused, match="would expire 2 of 3"):
        site.collect()
    assert site.epochs() == [5, 6, 7]


class Forgetful(MemoryStore):
    """Its listings of groups leave out the oldest one, as of a store that lists late."""

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        left_out = PATHS.group(Epoch(5)) if prefix == PATHS.groups else ""
        async for info in super().list(prefix):
            if info.path != left_out:
                yield info


def test_a_listing_that_leaves_out_a_group_costs_it_nothing(shelf: Shelf) -> None:
    """The source has deleted its objects: what is lost here is lost."""
    shelf.copy(NEW)
    site = Site(shelf)
    site.lose(5)
    before = copied_objects(shelf.target)
    shelf.target.__class__ = Forgetful
    assert site.collect() == Collected()
    assert copied_objects(shelf.target) == before


def test_nothing_is_deleted_from_the_store_of_another_cluster(shelf: Shelf) -> None:
    shelf.copy(NEW)
    shelf.target.objects[PATHS.owner(2)] = encode(Owner(cluster_id="d" * 32))
    with pytest.raises(Refused, match="another cluster"):
        Site(shelf).collect()


def test_a_lost_source_costs_the_copy_nothing(shelf: Shelf) -> None:
    shelf.copy(NEW)
    before = copied_objects(shelf.target)
    shelf.source.objects.clear()
    with pytest.raises(Refused):
        Site(shelf).collect()
    assert copied_objects(shelf.target) == before


def test_a_schedule_copies_to_the_store_of_its_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add(5)
    source, target = f"file://{tmp_path}/source", f"file://{tmp_path}/target"

    async def body() -> None:
        store = open_store(source, CLOCK)
        for path, data in shelf.source.objects.items():
            await store.put(path, data)
        site = Site(shelf)
        there = CopyStore(StoreRule(url=target), open_store(target, CLOCK))
        context = dataclasses.replace(site.context, store_url=source, stores={NAME: there})
        rule = ScheduleRule(do=Do.COPY, cron="0 * * * *", to=NAME)
        assert await run_check(context, "away", rule) == Outcome(GOOD, recorded=True)
        assert await list_epochs(there.store, PATHS) == [5]
        await store.put(PATHS.group(Epoch(6)), b"{}")
        found = await run_check(context, "away", replace(rule, percent=100))
        assert "backup #6 is not copied" in found.text
        stories = await read_stories(store, await list_stories(store, PATHS))
        told = [(one.kind, one.state, one.facts["schedule"], one.asked_by) for one in stories]
        assert told == [("copy", "FAILED", "away", ""), ("copy", "DONE", "away", "")]
        assert stories[1].facts["to"] == target
        assert (stories[1].epoch, stories[1].facts["backups"]) == (5, "#5")

    asyncio.run(body())


def test_the_age_of_a_copy_is_measured_by_both_intervals(shelf: Shelf) -> None:
    schedules = {
        "hourly": ScheduleRule(cron="0 * * * *"),
        "daily": ScheduleRule(cron="0 3 * * *"),
        "away": ScheduleRule(do=Do.COPY, cron="30 */2 * * *", to=NAME),
    }
    assert expected_age_s(schedules, NAME) == 3 * 3600.0
    assert expected_age_s(schedules, "other") is None
    shelf.copy(NEW)
    site, metrics = Site(shelf), CoordinatorMetrics("prod")
    context = dataclasses.replace(site.context, file_schedules=schedules)
    asyncio.run(CopyReader(context, metrics, LOG).read())
    text = metrics.render()[0].decode()
    assert 'cleancut_copy_backups{cluster="prod",state="good",store="second"} 3.0' in text
    assert 'cleancut_copy_expected_age_seconds{cluster="prod",store="second"} 10800.0' in text
    assert "cleancut_copy_last_success_timestamp_seconds{" in text


def test_a_backup_is_repaired_from_a_store_by_its_name_alone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add(5)
    shelf.copy(NEW)
    lost = next(path for path in shelf.source.objects if "/packs/" in path)
    source, target = f"file://{tmp_path}/source", f"file://{tmp_path}/target"

    async def body() -> None:
        stores = {}
        for url, objects in ((source, shelf.source.objects), (target, shelf.target.objects)):
            stores[url] = open_store(url, CLOCK)
            for path, data in objects.items():
                await stores[url].put(path, data)
        await stores[source].delete(lost)
        there = CopyStore(StoreRule(url=target), stores[target])
        context = dataclasses.replace(Site(shelf).context, store_url=source, stores={NAME: there})
        with pytest.raises(NotFound, match="no store 'file:///x'"):
            await run_repair(context, "5", "file:///x")
        with pytest.raises(NotFound, match="no backup 'b-9'"):
            await run_repair(context, "b-9", NAME)
        done = await run_repair(context, "5", NAME)
        assert done.repaired == (PATHS.relative(lost),)
        assert done.damaged == ()

    asyncio.run(body())


def test_a_check_opens_its_store_by_the_credentials_of_the_coordinator(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    """And a process that cannot be started is an outcome: it ended the leader."""
    monkeypatch.setenv("CLEANCUT_AZURE_CREDENTIALS", "/creds")
    monkeypatch.setenv("CLEANCUT_CLUSTER", "another")
    site, rule = Site(shelf), ScheduleRule(do=Do.VERIFY, cron="0 * * * *")
    monkeypatch.setenv("LARGE", "x" * 200_000)  # more than a process may be given
    found = asyncio.run(run_check(site.context, "weekly", rule))
    assert "no process could be started" in found.text
    assert not found.recorded
    kept = _environment()
    assert kept["CLEANCUT_AZURE_CREDENTIALS"] == "/creds"
    assert "CLEANCUT_CLUSTER" not in kept
