"""Lists of a long history ask the store for what is new, and for as much as is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cleancut.core.format.paths import Paths
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.maintenance.stories import recent_months
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId, parse_cluster
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.store import ObjectInfo
from cleancut.repository import known_history
from cleancut.repository.history import newest_stories, put_story
from cleancut.repository.known_history import RECENT_S, WHOLE_S, KnownHistory
from cleancut.testing.memory_store import MemoryStore

PATHS = Paths(parse_cluster("prod"))
NOW_S = parse_time("2026-11-20T12:00:00.000Z")
STORIES = 5000
PAGE = 1000
"""What S3 gives in one answer."""


@dataclass
class Turned:
    """A clock that a test turns."""

    at_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.at_s

    def wall_s(self) -> float:
        return NOW_S + self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class Counting(MemoryStore):
    """Counts the requests that S3 would get."""

    lists = gets = 0

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self.lists += 1
        number = 0
        async for info in super().list(prefix):
            number += 1
            self.lists += number % PAGE == 1 and number > 1
            yield info

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.gets += 1
        return await super().get(path, offset, length)

    def taken(self) -> tuple[int, int]:
        """The lists and gets since the last call."""
        found, self.lists, self.gets = (self.lists, self.gets), 0, 0
        return found


def story(number: int, kind: StoryKind = StoryKind.BACKUP) -> Story:
    """Number 0 is the newest; 400 days of them."""
    at = format_time(NOW_S - number * 400 * 86400 / STORIES)
    operation = Operation(
        id=OperationId(f"b-{number}"),
        kind=OperationKind.BACKUP,
        state=State.ABORTED,
        request="{}",
        epoch=Epoch(STORIES - number),
        created_at=at,
        ended_at=at,
    )
    return Story(kind, f"b-{number}", at=at, ended_at=at, state="ABORTED", operation=operation)


def long_history() -> Counting:
    store = Counting()
    for number in range(STORIES):
        one = story(number, StoryKind.BACKUP if number % 2 else StoryKind.GC)
        store.objects[PATHS.story(one.at[:4], one.name)] = encode(one)
    return store


def test_the_newest_are_found_without_a_list_of_all() -> None:
    """A whole list takes five requests; one that has too few in its last months, all of them."""

    async def body() -> None:
        store = long_history()
        found = await newest_stories(store, PATHS, {StoryKind.BACKUP}, most=50, now_s=NOW_S)
        assert [one.name.id for one in found] == [f"b-{number}" for number in range(1, 101, 2)]
        assert store.taken() == (1, 0)
        whole = await newest_stories(store, PATHS, (), most=STORIES, now_s=NOW_S)
        assert len(whole) == STORIES
        assert store.taken() == (2 + STORIES // PAGE, 0)
        assert await newest_stories(store, PATHS, {StoryKind.DRILL}, most=20, now_s=NOW_S) == []

    asyncio.run(body())


def test_a_process_lists_all_once_and_then_what_may_be_new() -> None:
    async def body() -> None:
        store, clock = long_history(), Turned()
        history = KnownHistory(store, PATHS, clock)
        assert len(await history.entries()) == STORIES
        assert store.taken() == (STORIES // PAGE, 0)
        for kind in StoryKind:
            await history.entries({kind})
        assert store.taken() == (0, 0)
        clock.at_s += RECENT_S + 1
        new = story(-1)
        await put_story(store, PATHS, new)
        assert (await history.entries())[0].name.id == new.id
        assert store.taken() == (2, 0)
        clock.at_s += WHOLE_S + 1
        for path in list(store.objects)[:PAGE]:
            await store.delete(path)
        assert len(await history.entries()) == STORIES - PAGE + 1
        found = await history.find("b-4000", {StoryKind.GC})
        assert found is not None
        assert await history.find("b-4000", {StoryKind.BACKUP}) is None

    asyncio.run(body())


def test_one_of_the_last_months_is_found_without_a_list_of_all() -> None:
    async def body() -> None:
        store = long_history()
        history = KnownHistory(store, PATHS, Turned())
        assert await history.read_whole("b-9", {StoryKind.BACKUP}) is not None
        assert store.taken() == (2, 1)
        assert await history.read_whole("b-4001", {StoryKind.BACKUP}) is not None
        assert store.taken() == (STORIES // PAGE, 1)
        assert await history.find("b-nothing", {StoryKind.BACKUP}) is None
        assert store.taken() == (0, 0)

    asyncio.run(body())


def test_a_story_is_read_once_while_there_is_room_for_it() -> None:
    async def body() -> None:
        store = long_history()
        history = KnownHistory(store, PATHS, Turned())
        chosen = (await history.entries())[:30]
        assert len(await history.read(chosen)) == 30
        assert len(await history.read(chosen)) == 30
        assert store.taken() == (STORIES // PAGE, 30)

    asyncio.run(body())


def test_stories_in_memory_have_a_bound() -> None:
    async def body() -> None:
        store = long_history()
        history = KnownHistory(store, PATHS, Turned())
        chosen = (await history.entries())[:30]
        known = known_history.MAX_BYTES
        known_history.MAX_BYTES = 10 * chosen[0].size_bytes
        try:
            await history.read(chosen)
            store.taken()
            await history.read(chosen[-5:])
            assert store.taken() == (0, 0)
            await history.read(chosen[:5])
            assert store.taken() == (0, 5)
        finally:
            known_history.MAX_BYTES = known

    asyncio.run(body())


def test_new_stories_come_into_few_months() -> None:
    """One that no store has taken for thirty days too, and one by a clock that is ahead."""
    assert recent_months(parse_time("2026-11-30T12:00:00.000Z")) == ["202612", "202611", "202610"]
    assert recent_months(parse_time("2026-03-02T00:00:00.000Z")) == ["202603", "202602", "202601"]
    assert recent_months(parse_time("2026-01-15T00:00:00.000Z")) == ["202601", "202512"]
