"""Short ids of operations that a store knows: those of its catalog and of its history."""

from __future__ import annotations

from collections.abc import Collection

from cleancut.core.format.paths import Paths
from cleancut.core.format.story import BACKUPS
from cleancut.core.primitives.ids import decode_segment
from cleancut.core.primitives.short_ids import is_short, resolve_short
from cleancut.ports.store import Store
from cleancut.repository.history import list_stories


async def resolve_id(
    store: Store, paths: Paths, name: str, kinds: Collection[str], *, others: Collection[str] = ()
) -> str:
    """The id that `name` begins, of an operation of these kinds; `name` itself, unless it is short
    and begins one. `others`: ids that the caller knows besides.

    Raises: Refused, if several begin so; what the store does.
    """
    if not is_short(name):
        return name
    found = set(others)
    if not set(kinds).isdisjoint(BACKUPS):
        prefix = paths.ids_of(name).removesuffix("/")
        async for info in store.list(prefix):
            found.add(decode_segment(paths.parse(info.path).name))
    found |= {one.name.id for one in await list_stories(store, paths, kinds)}
    return resolve_short(name, found)
