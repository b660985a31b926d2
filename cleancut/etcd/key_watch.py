"""Watch of one key: its value now, and after each change."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from cleancut.core.primitives.errors import Unavailable
from cleancut.ports.coordination import Compacted, Coordination, KeyValue


async def watch_key(etcd: Coordination, key: str) -> AsyncGenerator[KeyValue | None, None]:
    """Never ends; None: there is no such key. Changes that follow each other may be given as one.

    Raises: what the first reading does, and each one after a watch was lost.
    """
    while True:
        listing = await etcd.list(key)
        yield next((item for item in listing.items if item.key == key), None)
        try:
            async for changes in etcd.watch(key, listing.revision + 1):
                for change in changes:
                    if change.kv.key == key:
                        yield None if change.deleted else change.kv
        except (Compacted, Unavailable):
            continue
