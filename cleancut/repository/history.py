"""History of a store: the stories of ended operations, one object each, written once.

`history/<YYYY>/<at>-<kind>-<id>.json`. Names sort by time, so a listing alone says what there is,
and that of a month which are its newest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

from cleancut.core.doctor.protection import RestoreTest
from cleancut.core.format.paths import ObjectKind, Paths
from cleancut.core.format.story import Story, StoryKind, StoryName, parse_story_name
from cleancut.core.maintenance.stories import recent_months
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8
_LOOK_BACK = 20


class StoredStory(NamedTuple):
    """A story as a listing shows it."""

    path: str
    name: StoryName
    size_bytes: int = 0


async def put_story(store: Store, paths: Paths, story: Story) -> None:
    """Order: repeatable; one that is there stays, since any leader stores the same.

    Raises: what the store does.
    """
    path = paths.story(story.at[:4], story.name)
    if await store.stat(path) is None:
        await store.put(path, encode(story))


async def list_stories(
    store: Store, paths: Paths, kinds: Collection[str] = (), month: str = ""
) -> list[StoredStory]:
    """Those of these kinds, of all if none is given, the newest first. `month`: such as 202603, of
    it alone. Raises: what the store does."""
    found = []
    async for info in store.list(paths.stories_of(month) if month else paths.history):
        parsed = paths.parse(info.path)
        name = parse_story_name(parsed.name) if parsed.kind is ObjectKind.STORY else None
        if name is not None and (not kinds or name.kind in kinds):
            found.append(StoredStory(info.path, name, info.size_bytes))
    return sorted(found, key=lambda one: one.name.position, reverse=True)


async def newest_stories(
    store: Store, paths: Paths, kinds: Collection[str], *, most: int, now_s: float
) -> list[StoredStory]:
    """The newest `most` of these kinds, newest first. Limits: only the last months are listed, if
    those have as many. Raises: what the store does."""
    found: list[StoredStory] = []
    for month in recent_months(now_s):
        found += await list_stories(store, paths, kinds, month)
        if len(found) >= most:
            return found[:most]
    return (await list_stories(store, paths, kinds))[:most]


async def read_story(store: Store, path: str) -> Story | None:
    """None for one that cannot be read, or has gone meanwhile: a history may have gaps."""
    try:
        return decode(Story, await read_document(store, path), path)
    except (Corrupt, NotFound, Refused):
        return None


async def read_stories(store: Store, stored: Sequence[StoredStory]) -> list[Story]:
    """Those of `stored` that can be read, in that order."""
    reads = [partial(read_story, store, one.path) for one in stored]
    return [story for story in await run_all(reads, _AT_ONCE) if story is not None]


async def last_restore(store: Store, paths: Paths, now_s: float) -> RestoreTest | None:
    """The newest restore that was done. Limits: of the newest 20 restores. Raises: what the store
    does."""
    for one in await newest_stories(
        store, paths, {StoryKind.RESTORE}, most=_LOOK_BACK, now_s=now_s
    ):
        story = await read_story(store, one.path)
        test = restore_test_of(story.operation) if story and story.operation else None
        if test is not None:
            return test
    return None


def restore_test_of(operation: Operation) -> RestoreTest | None:
    """What a restore proves of its backup; None for one that is not done, and other operations.
    Its number is 0 if the request cannot be read, or names a backup of another cluster."""
    if operation.kind is not OperationKind.RESTORE or operation.state is not State.DONE:
        return None
    try:
        request = decode(RestoreRequest, operation.request.encode(), operation.id)
        backup = 0 if request.from_cluster else request.backup
    except Corrupt:
        backup = 0
    at = operation.ended_at or operation.created_at
    return RestoreTest(kind="restore", at_s=parse_time(at), epoch=backup)
