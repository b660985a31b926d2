"""History of a store, read without a coordinator: ended operations and their outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cleancut.api.backups import Backup
from cleancut.api.from_story import (
    backup_of,
    rebalance_of,
    reshard_of,
    restore_of,
    shown_stories,
    undelete_of,
)
from cleancut.cli.offline import with_store
from cleancut.cli.settings import Settings
from cleancut.core.format.paths import Paths
from cleancut.core.format.story import BACKUPS, Story, StoryKind
from cleancut.core.primitives.errors import NotFound
from cleancut.ports.store import Store
from cleancut.repository.history import newest_stories, read_stories
from cleancut.repository.known_history import KnownHistory
from cleancut.repository.short_ids import resolve_id
from cleancut.runtime.clock import SystemClock

_SHOWN: dict[str, Callable[[Story], Any]] = {
    StoryKind.RESTORE: restore_of,
    StoryKind.REBALANCE: rebalance_of,
    StoryKind.RESHARD: reshard_of,
    StoryKind.UNDELETE: undelete_of,
}


def with_failed(settings: Settings, found: list[Backup], limit: int) -> list[Backup]:
    """`found`, the newest backups of the catalog, and those of the history that were not committed;
    at most `limit` of them, newest first."""

    async def read(store: Store, paths: Paths) -> list[Backup]:
        stored = await newest_stories(store, paths, BACKUPS, most=limit, now_s=time.time())
        return shown_stories(await read_stories(store, stored), backup_of)

    there = {one.epoch for one in found}
    failed = [one for one in with_store(settings, read) if one.epoch not in there]
    return sorted([*found, *failed], key=lambda one: one.epoch, reverse=True)[:limit]


def list_ended(settings: Settings, kind: str, limit: int) -> list[Any]:
    """The newest `limit` operations of this kind, newest first. Those under way are in etcd."""

    async def read(store: Store, paths: Paths) -> list[Any]:
        stored = await newest_stories(store, paths, (kind,), most=limit, now_s=time.time())
        found = await read_stories(store, stored)
        return shown_stories([one.without_traces() for one in found], _SHOWN[kind])

    return with_store(settings, read)


def show_ended(settings: Settings, kind: str, name: str) -> Any:
    """Raises: NotFound, if the store's history has none of this id."""

    async def read(store: Store, paths: Paths) -> Any:
        named = await resolve_id(store, paths, name, (kind,))
        story = await KnownHistory(store, paths, SystemClock()).read_whole(named, (kind,))
        found = None if story is None else _SHOWN[kind](story)
        if found is None:
            raise NotFound(
                f"the history of this store has no {kind} {name!r}",
                f"`cleancut {kind} list` shows those that it has; a coordinator also shows those"
                " under way",
            )
        return found

    return with_store(settings, read)
