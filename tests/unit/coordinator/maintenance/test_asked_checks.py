"""Verifications and drills that callers ask the leader for: one at a time, and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cleancut.api.checks import Verdict
from cleancut.core.maintenance.schedule import Do, ScheduleRule
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import CheckUnderWay
from cleancut.repository.history import list_stories
from cleancut.repository.verification_log import list_checks
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.store.open import open_store
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record
from cleancut_coordinator.maintenance.asked_checks import AskedChecks
from cleancut_coordinator.maintenance.scheduled_checks import backup_of
from tests.support.capturing import PATHS
from tests.support.groups import manifest, shard
from tests.unit.cli.test_offline import Shelf
from tests.unit.coordinator.leader.test_state import lead

LOG = configure_logging("critical", "test")
Body = Callable[[CoordinatorContext, AskedChecks], Awaitable[None]]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path)
    made.publish(3)
    return made


async def checks_of(shelf: Shelf) -> tuple[CoordinatorContext, AskedChecks]:
    clock = SystemClock()
    context = CoordinatorContext(
        name="c0",
        store_url=shelf.url,
        keys=Keys(PATHS.cluster),
        paths=PATHS,
        etcd=MemoryEtcd(clock),
        store=open_store(shelf.url, clock),
        peers=(),
        clock=clock,
    )
    return context, AskedChecks(context, 0, await lead(context), LOG)


def in_a_term(shelf: Shelf, body: Body) -> None:
    async def run() -> None:
        context, checks = await checks_of(shelf)
        async with asyncio.TaskGroup() as group:
            term = group.create_task(checks.run())
            await asyncio.sleep(0)  # it has its turn first
            await body(context, checks)
            term.cancel()

    asyncio.run(run())


def verify(checks: AskedChecks, backup: str = "3", *, quick: bool = False) -> Awaitable[Verdict]:
    return checks.verify(backup, quick=quick, read_percent=0, within_s=0.0)


def test_a_verification_ends_in_the_log_and_the_history(shelf: Shelf) -> None:
    async def body(context: CoordinatorContext, checks: AskedChecks) -> None:
        found = await verify(checks)
        assert (found.epoch, found.missing, found.level) == (3, (), "all")
        assert found.read_bytes == found.size_bytes > 0
        assert (await verify(checks, quick=True)).level == "presence"
        logged = await list_checks(context.store, PATHS)
        assert [(one.kind, one.epoch) for one in logged] == [("verify", 3)] * 2
        stories = await list_stories(context.store, PATHS)
        assert ["-verify-" in one.path for one in stories] == [True, True]

    in_a_term(shelf, body)


def test_one_at_a_time_and_the_same_call_waits_for_it(shelf: Shelf) -> None:
    """It goes on although its first caller has left."""

    async def body(context: CoordinatorContext, checks: AskedChecks) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(_verdict(checks))
            await asyncio.sleep(0)
            with pytest.raises(Refused, match="verify of backup 3 is under way"):
                await verify(checks, quick=True)
            with pytest.raises(Refused, match="under way"):
                await checks.drill("3", collections=(), shards=1)
            first.cancel()
            assert (await verify(checks)).epoch == 3
        assert len(await list_checks(context.store, PATHS)) == 1

    in_a_term(shelf, body)


async def _verdict(checks: AskedChecks) -> Verdict:
    return await verify(checks)


@pytest.mark.parametrize("name", ["7", "b-none", "--store-key-command=touch /tmp/x", "--help"])
def test_what_is_no_backup_is_an_error_and_never_a_flag(name: str, shelf: Shelf) -> None:
    async def body(context: CoordinatorContext, checks: AskedChecks) -> None:
        with pytest.raises(NotFound):
            await verify(checks, name)
        assert await list_checks(context.store, PATHS) == []

    in_a_term(shelf, body)


def test_a_caller_is_answered_when_the_term_ends(shelf: Shelf) -> None:
    async def run() -> None:
        _, checks = await checks_of(shelf)
        async with asyncio.TaskGroup() as group:
            term = group.create_task(checks.run())
            await asyncio.sleep(0)
            caller = group.create_task(_away(checks))
            await asyncio.sleep(0)
            term.cancel()
        assert caller.result() == "the verify of backup 3 ended with the leader's term"

    asyncio.run(run())


@pytest.mark.parametrize("do", [Do.DRILL, Do.VERIFY])
def test_a_schedule_checks_the_newest_backup_that_holds_its_collections(
    shelf: Shelf, do: Do
) -> None:
    """A newer one of other collections has nothing for it to judge."""

    async def body(context: CoordinatorContext, _: AskedChecks) -> None:
        other = manifest(4, (shard("others", 0),))
        await context.store.put(PATHS.group(Epoch(4)), encode(other))

        async def checked(*names: str) -> str:
            rule = ScheduleRule(do=do, cron="0 5 * * *", collections=names)
            return await backup_of(context, rule)

        assert await checked("books") == "3"
        assert await checked("others") == "4"
        assert await checked() == await checked("books", "others") == "latest"

    in_a_term(shelf, body)


def test_what_is_under_way_is_shown_until_it_has_ended(shelf: Shelf) -> None:
    """Any coordinator reads it in etcd; the leader alone runs it."""

    async def body(context: CoordinatorContext, checks: AskedChecks) -> None:
        async def shown() -> CheckUnderWay | None:
            return await read_record(context, context.keys.check, CheckUnderWay)

        assert await shown() is None
        async with asyncio.TaskGroup() as group:
            caller = group.create_task(verify(checks))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            now = None
            for _ in range(20):
                now = now or await shown()
                await asyncio.sleep(0)
            assert now is not None
            assert (now.kind, now.backup, caller.done()) == ("verify", "3", False)
        assert await shown() is None

    in_a_term(shelf, body)


async def _away(checks: AskedChecks) -> str:
    with pytest.raises(Unavailable) as told:
        await verify(checks)
    return told.value.message
