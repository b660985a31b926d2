"""Short ids of operations that a store knows: those of its catalog and of its history."""

from __future__ import annotations

from collections.abc import Collection

from cleancut.core.format.paths import Paths
from cleancut.core.format.story import BACKUPS
from cleancut.core.primitives.ids import decode_segment
from cleancut.core.primitives.short_ids import is_short, resolve_short
from cleancut.ports.store import Store
from cleancut.repository.history import list_stories


async def resolve_id(store: Store, paths: Paths, name: str, kinds: Collection[str]) -> str:
    """The id that `name` begins, of an operation of these kinds; `name` itself, unless it is short
    and begins one.

    Raises: Refused, if several begin so; what the store does.
    """
    if not is_short(name):
        return name
    found = await ids_in_catalog(store, paths, name, kinds)
    return resolve_short(
        name, found | {one.name.id for one in await list_stories(store, paths, kinds)}
    )


async def ids_in_catalog(store: Store, paths: Paths, name: str, kinds: Collection[str]) -> set[str]:
    """Those of backups that begin with `name`; none, unless backups are of these kinds. Raises:
    what the store does."""
    if set(kinds).isdisjoint(BACKUPS):
        return set()
    prefix = paths.ids_of(name).removesuffix("/")
    return {decode_segment(paths.parse(info.path).name) async for info in store.list(prefix)}
