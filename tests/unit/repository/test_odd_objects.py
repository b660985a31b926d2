"""Objects that decode and mean nothing: one is passed over, and never stops what reads all."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.maintenance.stories import is_expired
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.catalog import read_manifest
from cleancut.repository.clusters import find_cluster, list_clusters
from cleancut.repository.history import last_restore, list_stories, put_story, read_stories
from cleancut.repository.verification_log import last_read, put_check
from cleancut.testing.memory_store import MemoryStore

PATHS = Paths(ClusterName("prod"))
AT, LATER = "2026-11-30T10:00:00.000Z", "2026-11-30T11:00:00.000Z"
RESTORE = Operation(
    id=OperationId("r-1"),
    kind=OperationKind.RESTORE,
    state=State.DONE,
    request="{}",
    created_at=AT,
    ended_at=AT,
)
STORY = Story(
    kind=StoryKind.RESTORE, id="r-1", at=AT, ended_at=AT, state=State.DONE, operation=RESTORE
)


def test_a_story_whose_times_are_none_is_passed_over() -> None:
    async def body() -> None:
        store = MemoryStore()
        await put_story(store, PATHS, STORY)
        odd = replace(STORY, id="r-2", at=LATER, operation=replace(RESTORE, ended_at="later"))
        await put_story(store, PATHS, odd)
        for name in ("20269999T000000.000Z-restore-r-3", "99991231T235959.999Z-restore-r-4"):
            await store.put(PATHS.story("2026", name), b"")
        listed = await list_stories(store, PATHS)
        assert [one.name.id for one in listed] == ["r-4", "r-2", "r-1"]
        assert not is_expired(listed[0].name, parse_time(LATER), 0.0)
        found = await read_stories(store, listed)
        assert [one.id for one in found] == ["r-1"]
        assert await last_restore(store, PATHS, parse_time(LATER)) is not None

    asyncio.run(body())


def test_a_check_whose_time_is_none_costs_a_second_reading() -> None:
    async def body() -> None:
        store = MemoryStore()
        right = VerificationRecord(level=Level.ALL, epoch=Epoch(1), at=AT, recipes=("a",))
        await put_check(store, PATHS, right)
        odd = replace(right, at="now", recipes=("b",))
        await store.put(PATHS.verification(Epoch(1), "now-all-good-1"), encode(odd))
        assert set(await last_read(store, PATHS, Epoch(1))) == {"a"}

    asyncio.run(body())


def test_a_folder_that_is_no_cluster_is_none() -> None:
    """A disk has a lost+found, a bucket the folders of other programs."""

    async def body() -> None:
        store = MemoryStore()
        for path in (PATHS.format, "lost+found/x", "Other/y"):
            await store.put(path, b"")
        assert await list_clusters(store) == ["prod"]
        assert await find_cluster(store, "", "file:///mnt") == "prod"

    asyncio.run(body())


def test_a_manifest_is_given_as_it_is_stored_unless_its_backup_was_deleted() -> None:
    async def body() -> None:
        store, torn = MemoryStore(), b'{"epoch": 3'
        await store.put(PATHS.group(Epoch(3)), torn)
        assert await read_manifest(store, PATHS, Epoch(3)) == torn
        await store.put(PATHS.tombstone(Epoch(3)), b"{}")
        for epoch, words in ((3, "was deleted"), (4, "has no backup #4")):
            with pytest.raises(NotFound, match=words):
                await read_manifest(store, PATHS, Epoch(epoch))

    asyncio.run(body())
