"""Operations as lists show them: those that etcd holds, and older ones from the store's history.

While the store cannot be read, there is what etcd holds: a list of operations is most wanted then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from cleancut.api.interface import PageRequest
from cleancut.core.format.story import Story
from cleancut.core.primitives.errors import CleancutError, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.short_ids import is_short
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind
from cleancut.repository.history import StoredStory, find_story, list_stories, read_story
from cleancut.repository.short_ids import resolve_id
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.api.pages import OldBackup, cut_page, position
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests

T = TypeVar("T")
_AT_ONCE = 8


async def find_any(
    context: CoordinatorContext,
    name: str,
    *kinds: OperationKind,
    now: Callable[[Operation], Awaitable[T]],
    then: Callable[[Story], T | None],
) -> T:
    """The operation of that id, as `now` shows it, or one of the history, as `then` does.

    Raises: NotFound, if there is none of these kinds.
    """
    name = await resolve_any(context, name, *kinds)
    try:
        found = await requests.load(context, name, *kinds)
    except NotFound:
        shown = await find_old(context, name, *kinds, then=then)
        if shown is None:
            raise
        return shown
    return await now(found)


async def resolve_any(context: CoordinatorContext, name: str, *kinds: OperationKind) -> str:
    """The id that `name` begins, of an operation in etcd, the catalog or the history; `name`
    itself, unless it is a short id. Raises: Refused, if several begin so."""
    if not is_short(name):
        return name
    recent = {operation.id for operation in await requests.load_all(context, *kinds)}
    return await resolve_id(context.store, context.paths, name, kinds, others=recent)


async def find_old(
    context: CoordinatorContext,
    name: str,
    *kinds: OperationKind,
    then: Callable[[Story], T | None],
) -> T | None:
    """One of the history; None, if there is none of these kinds, or the store cannot be read."""
    try:
        story = await find_story(context.store, context.paths, name, kinds)
    except CleancutError:
        return None
    return None if story is None else then(story)


async def list_all(
    context: CoordinatorContext,
    page: PageRequest,
    kind: OperationKind,
    *,
    now: Callable[[Operation], Awaitable[T]],
    then: Callable[[Story], T | None],
) -> tuple[list[T], str]:
    """One page of the operations of this kind, newest first, and the token of the next."""
    recent = await requests.load_all(context, kind)
    entries: list[Operation | StoredStory] = list(recent)
    entries += await older_stories(context, recent, kind)
    entries.sort(key=position, reverse=True)
    chosen, token = cut_page(entries, page)

    async def shown(entry: Operation | StoredStory) -> T | None:
        if isinstance(entry, Operation):
            return await now(replace(entry, traces=()))
        story = await read_story(context.store, entry.path)
        return None if story is None else then(story.without_traces())

    found = await run_all([partial(shown, entry) for entry in chosen], _AT_ONCE)
    return [one for one in found if one is not None], token


class BackupHistory:
    """The backups of the history that were not committed; stories never change, so each is read
    once."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._known: dict[str, Story] = {}

    async def older(
        self, recent: Sequence[Operation], epochs: Collection[Epoch], *kinds: OperationKind
    ) -> list[OldBackup]:
        """Those that neither etcd nor the catalog (`epochs`) has, newest first. Raises: what the
        store does."""
        stored = await older_stories(self._context, recent, *kinds)
        self._known = {one.path: self._known[one.path] for one in stored if one.path in self._known}
        new = [one.path for one in stored if one.path not in self._known]
        reads = [partial(read_story, self._context.store, path) for path in new]
        for path, story in zip(new, await run_all(reads, _AT_ONCE), strict=True):
            if story is not None:
                self._known[path] = story
        found, newest = list[OldBackup](), Epoch(0)
        for one in reversed(stored):
            story = self._known.get(one.path)
            if story is None or story.operation is None or story.operation.epoch in epochs:
                continue
            newest = story.operation.epoch or newest
            found.append(OldBackup(newest, story))
        return found[::-1]

    async def of_epoch(self, epoch: Epoch, *kinds: OperationKind) -> Story | None:
        """Of the backup whose newest attempt it was. Raises: what the store does."""
        for one in await self.older((), (), *kinds):
            operation = one.story.operation
            if operation is not None and operation.epoch == epoch:
                return one.story
        return None


async def older_stories(
    context: CoordinatorContext, recent: Sequence[Operation], *kinds: OperationKind
) -> list[StoredStory]:
    """Those of the store's history that etcd no longer holds; none, if the store cannot be
    read."""
    there = {operation.id for operation in recent}
    try:
        found = await list_stories(context.store, context.paths, kinds)
    except CleancutError:
        return []
    return [one for one in found if one.name.id not in there]
