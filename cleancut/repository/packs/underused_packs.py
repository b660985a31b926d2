"""The store's list of packs that are hardly needed any more: see
`cleancut.core.maintenance.garbage.Sparse`.

Only the newest list counts. One that is wrong, or missing, costs bytes and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import UnderusedPacks, sparse_of
from cleancut.core.primitives.codec import decode, digest_of, encode
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store


async def read_sparse(store: Store, paths: Paths) -> frozenset[str]:
    """The packs on the newest list. Raises: what the store does."""
    path = max([info.path async for info in store.list(paths.sparse_lists)], default="")
    if not path:
        return frozenset()
    try:
        return frozenset(decode(UnderusedPacks, await store.get(path), path).packs)
    except (Corrupt, NotFound):
        return frozenset()


async def renew_sparse(
    store: Store, paths: Paths, live: Mapping[str, int], epoch: Epoch
) -> frozenset[str]:
    """Makes the list what `live` says (by pack, what newest groups need), as of `epoch`; gives the
    packs on it. Older lists go."""
    sizes: dict[str, int] = {}
    for session, _ in groupby(sorted(live), key=lambda pack: pack.rpartition("/")[0]):
        async for info in store.list(paths.pack(session) + "/"):
            sizes[info.path.removeprefix(paths.pack(""))] = info.size_bytes
    sparse = sparse_of(live, sizes)
    wanted = paths.sparse_list(epoch, digest_of(sparse))
    there = [info.path async for info in store.list(paths.sparse_lists)]
    if sparse.packs and wanted not in there:
        await store.put(wanted, encode(sparse))
    for path in there:
        if path != wanted or not sparse.packs:
            await store.delete(path)
    return frozenset(sparse.packs)
