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
from cleancut.core.primitives.short_ids import is_short, resolve_short
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind
from cleancut.repository.history import StoredStory, read_story
from cleancut.repository.short_ids import ids_in_catalog
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.api.pages import OldBackup, cut_page, position
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests

T = TypeVar("T")
_AT_ONCE = 8
_PART = 32
_MARGIN = 20
"""Operations end, and get their last epochs, nearly in the order in which they were asked for."""


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
    found = await ids_in_catalog(context.store, context.paths, name, kinds)
    found |= {operation.id for operation in await requests.load_all(context, *kinds)}
    found |= {one.name.id for one in await context.history.entries(kinds)}
    return resolve_short(name, found)


async def find_old(
    context: CoordinatorContext,
    name: str,
    *kinds: OperationKind,
    then: Callable[[Story], T | None],
) -> T | None:
    """One of the history; None, if there is none of these kinds, or the store cannot be read."""
    try:
        story = await context.history.read_whole(name, kinds)
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
        story = await context.history.read([entry])
        return then(story[0]) if story else None

    found = await run_all([partial(shown, entry) for entry in chosen], _AT_ONCE)
    return [one for one in found if one is not None], token


class BackupHistory:
    """The backups of the history that were not committed."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    async def older(
        self,
        recent: Sequence[Operation],
        epochs: Collection[Epoch],
        page: PageRequest,
        *kinds: OperationKind,
    ) -> list[OldBackup]:
        """Those that neither etcd nor the catalog (`epochs`) has, newest first, down to the end of
        this page. Raises: what the store does."""
        stored = await older_stories(self._context, recent, *kinds)
        found, without, left = list[OldBackup](), list[Story](), page.size + _MARGIN
        for start in range(0, len(stored), _PART):
            for story in await self._context.history.read(stored[start : start + _PART]):
                epoch = story.operation.epoch if story.operation else Epoch(0)
                if story.operation is None or epoch in epochs:
                    continue
                without.append(story)
                if epoch:
                    new = [OldBackup(epoch, one) for one in without]
                    left -= sum(not page.token or position(one) < page.token for one in new)
                    found, without = found + new, []
            if left <= 0:
                return found
        return found + [OldBackup(Epoch(0), story) for story in without]

    async def of_epoch(self, epoch: Epoch, *kinds: OperationKind) -> Story | None:
        """Of the backup whose newest attempt it was. Raises: what the store does."""
        context, older = self._context, 0
        stored = await older_stories(context, (), *kinds)
        for start in range(0, len(stored), _PART):
            for story in await context.history.read(stored[start : start + _PART]):
                its = story.operation.epoch if story.operation else Epoch(0)
                if its == epoch:
                    path = context.paths.story(story.at[:4], story.name)
                    return await read_story(context.store, path)
                older += 0 < its < epoch
            if older > _MARGIN:
                return None
        return None


async def older_stories(
    context: CoordinatorContext, recent: Sequence[Operation], *kinds: OperationKind
) -> list[StoredStory]:
    """Those of the store's history that etcd no longer holds; none, if the store cannot be
    read."""
    there = {operation.id for operation in recent}
    try:
        found = await context.history.entries(kinds)
    except CleancutError:
        return []
    return [one for one in found if one.name.id not in there]
