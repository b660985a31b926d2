"""Stories of ended operations reach the store once, and lists find them there."""

from __future__ import annotations

from dataclasses import replace as with_fields
from functools import partial
from typing import Any

import pytest
import structlog
from msgspec.structs import replace

from cleancut.api.interface import PageRequest
from cleancut.core.auth.roles import Role
from cleancut.core.doctor.protection import RestoreTest
from cleancut.core.maintenance.stories import KEPT_S, story_of
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest, RestoreRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.coordination import Delete, Put
from cleancut.repository.catalog import publish_group
from cleancut.repository.history import list_stories, put_story, read_stories
from cleancut.rpc.authentication import CALLER, Caller
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.leader import requests
from cleancut_coordinator.maintenance.protection import read_protection
from cleancut_coordinator.maintenance.story_keeper import StoryKeeper, expire_stories
from tests.support.groups import manifest
from tests.unit.coordinator.api.test_unreadable_requests import api_of
from tests.unit.coordinator.leader.test_state import context, lead, run

REQUEST = encode(RestoreRequest(backup=Epoch(7), collections=("docs",))).decode()


def restore(at: CoordinatorContext, minute: int) -> Operation:
    now_s = at.clock.wall_s()
    return Operation(
        id=OperationId(f"r-{minute}"),
        kind=OperationKind.RESTORE,
        state=State.ABORTED,
        request=REQUEST,
        created_at=format_time(now_s - 60 * minute),
        ended_at=format_time(now_s - 60 * minute + 5),
    )


async def put(at: CoordinatorContext, *operations: Operation) -> None:
    await at.etcd.txn([], [Put(at.keys.operation(one.id), encode(one)) for one in operations])


class Refusing(MemoryStore):
    """A store that takes nothing for a while."""

    down = True

    async def put(self, path: str, data: bytes) -> None:
        if self.down:
            raise Unavailable("the store is away")
        await super().put(path, data)


async def keeper(at: CoordinatorContext) -> StoryKeeper:
    return StoryKeeper(at, await lead(at), structlog.get_logger())


@run
async def test_a_story_is_stored_once_and_marked() -> None:
    at = context()
    await put(at, restore(at, 3), restore(at, 2))
    one = await keeper(at)
    await one.keep()
    await one.keep()
    found = await list_stories(at.store, at.paths)
    assert [story.name.id for story in found] == ["r-2", "r-3"]
    assert all(operation.recorded for operation in await read_operations(at))
    stories = await read_stories(at.store, found)
    assert [story.state for story in stories] == ["ABORTED", "ABORTED"]


@run
async def test_a_store_that_takes_nothing_gets_the_story_later() -> None:
    store = Refusing()
    at = with_fields(context(), store=store)
    await put(at, restore(at, 1))
    one = await keeper(at)
    with pytest.raises(Unavailable):
        await one.keep()
    assert not (await read_operations(at))[0].recorded
    store.down = False
    await one.keep()
    assert len(await list_stories(store, at.paths)) == 1


@run
async def test_lists_go_on_where_etcd_ends_page_by_page() -> None:
    """What etcd has forgotten, the store lists; nothing comes twice."""
    at = context()
    minutes = (1, 2, 3, 4, 5)
    await put(at, *(restore(at, minute) for minute in minutes))
    await (await keeper(at)).keep()
    forgotten = [at.keys.operation(OperationId(f"r-{minute}")) for minute in (2, 4, 5)]
    await at.etcd.txn([], [Delete(key) for key in forgotten])
    api, token, seen = api_of(at), "", list[Any]()
    while True:
        page = await api.restores.list_restores(PageRequest(2, token))
        seen += page.restores
        token = page.next_page_token
        if not token:
            break
    assert [one.id for one in seen] == [f"r-{minute}" for minute in minutes]
    assert {one.backup_epoch for one in seen} == {7}
    assert (await api.restores.get_restore("r-5")).state is State.ABORTED
    with pytest.raises(NotFound):
        await api.reshards.get_reshard("r-5")


@run
async def test_a_restore_that_etcd_has_forgotten_is_still_the_last_test_of_one() -> None:
    """A failed one proves nothing, and one that etcd still holds is younger."""
    at = context()
    done = replace(restore(at, 9), state=State.DONE)
    await put_story(at.store, at.paths, story_of(done))
    await put_story(at.store, at.paths, story_of(restore(at, 8)))
    found = (await read_protection(at)).last_restore_test
    assert found == RestoreTest(kind="restore", at_s=parse_time(done.ended_at), epoch=7)
    newer = replace(restore(at, 2), state=State.DONE)
    await put(at, newer)
    found = (await read_protection(at)).last_restore_test
    assert found is not None
    assert found.at_s == parse_time(newer.ended_at)


@run
async def test_stories_leave_the_store_after_their_time() -> None:
    at = context()
    old = restore(at, 1)
    old = replace(old, id=OperationId("r-old"), created_at=format_time(at.clock.wall_s() - KEPT_S))
    await put_story(at.store, at.paths, story_of(replace(old, ended_at=old.created_at)))
    await put_story(at.store, at.paths, story_of(restore(at, 2)))
    at = with_fields(at, gc=with_fields(at.gc, stories_s=KEPT_S - 1))
    assert await expire_stories(at) == 1
    assert [one.name.id for one in await list_stories(at.store, at.paths)] == ["r-2"]


@run
async def test_failed_backups_stand_between_those_of_the_catalog() -> None:
    """Only if all are asked for; each by its number too."""
    at = context()
    for epoch in (3, 5):
        made = replace(manifest(epoch, ()), operation=OperationId(f"b-{epoch}"))
        await publish_group(at.store, at.paths, made, encode(made))
    for minute, epoch in ((9, 4), (8, 6)):
        failed = replace(restore(at, minute), kind=OperationKind.BACKUP, request="{}")
        failed = replace(failed, id=OperationId(f"b-{epoch}"), epoch=Epoch(epoch))
        await put_story(at.store, at.paths, story_of(failed))
    backups = api_of(at).backups
    shown = (await backups.list_backups(PageRequest(50, all=True))).backups
    assert [(one.epoch, one.state) for one in shown] == [
        (6, State.ABORTED),
        (5, State.COMMITTED),
        (4, State.ABORTED),
        (3, State.COMMITTED),
    ]
    first = await backups.list_backups(PageRequest(2, all=True))
    second = await backups.list_backups(PageRequest(2, first.next_page_token, all=True))
    assert (*first.backups, *second.backups) == shown
    assert [one.epoch for one in (await backups.list_backups(PageRequest(50))).backups] == [5, 3]
    assert (await backups.get_backup("4")).id == "b-4"
    with pytest.raises(NotFound):
        await backups.get_backup("7")


@run
async def test_an_operation_names_the_client_that_asked_for_it() -> None:
    at = context()
    token = await lead(at)
    asked = partial(requests.record, at, token, OperationKind.BACKUP, request=BackupRequest())
    assert (await asked(request_id="by a schedule")).asked_by == ""
    CALLER.set(Caller("ci", "token", Role.OPERATOR))
    assert (await asked(request_id="by a client")).asked_by == "ci"
    assert (await asked(request_id="by a schedule")).asked_by == ""


class Counting(MemoryStore):
    """Counts what is read."""

    gets = 0

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.gets += 1
        return await super().get(path, offset, length)


@run
async def test_a_page_of_failed_backups_reads_little_more_than_it_shows() -> None:
    """Of hundreds; some ended before they had a number, and pages leave none out."""
    store = Counting()
    at, total = with_fields(context(), store=store), 300
    for number in range(total):
        failed = replace(restore(at, number), kind=OperationKind.BACKUP, request="{}")
        epoch = Epoch(0 if number % 7 == 3 else total - number)
        failed = replace(failed, id=OperationId(f"b-{number}"), epoch=epoch)
        await put_story(store, at.paths, story_of(failed))
    backups = api_of(at).backups
    page = await backups.list_backups(PageRequest(20, all=True))
    assert 20 <= store.gets <= 80
    seen = [one.id for one in page.backups]
    while page.next_page_token:
        page = await backups.list_backups(PageRequest(20, page.next_page_token, all=True))
        seen += [one.id for one in page.backups]
    assert seen == [f"b-{number}" for number in range(total)]
    assert (await backups.get_backup(str(total - 250))).id == "b-250"
    with pytest.raises(NotFound):
        await backups.get_backup(str(total - 3))


@run
async def test_a_short_id_is_looked_for_in_etcd_and_in_the_history() -> None:
    at = context()
    old, new = (OperationId(f"r-79c500000000000{number}") for number in (1, 2))
    await put_story(at.store, at.paths, story_of(replace(restore(at, 9), id=old)))
    restores = api_of(at).restores
    assert (await restores.get_restore("r-79c5")).id == old
    await put(at, replace(restore(at, 1), id=new))
    with pytest.raises(Refused, match=f"{old}, {new}"):
        await restores.get_restore("r-79c5")
