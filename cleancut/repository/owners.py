"""Owners of a store: the ids of the clusters that it has belonged to, by number."""

from __future__ import annotations

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.copying import check_owners
from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Owner
from cleancut.ports.store import Store

_UNKNOWN = {0: "unknown"}
"""Of a store that has backups and no owner."""


async def read_owners(store: Store, paths: Paths) -> dict[int, str]:
    """Raises: what the store does."""
    found = {}
    for path in [info.path async for info in store.list(paths.owners)]:
        number = paths.parse(path).number
        if number is not None:
            found[number] = decode(Owner, await store.get(path), path).cluster_id
    return found


async def check_copy_of(source: Store, target: Store, paths: Paths, where: str) -> bool:
    """Whether `target` is a copy of `source`; False, if it is empty. `where`: the target's URL.

    Raises: Refused, if it is another cluster's.
    """
    theirs = await read_owners(target, paths)
    if not theirs:
        async for _ in target.list(paths.groups):
            theirs = _UNKNOWN
            break
    check_owners(await read_owners(source, paths), theirs, where)
    return bool(theirs)
