"""Bounded reading: an object is read whole only if it is not larger than its kind may be."""

from __future__ import annotations

from cleancut.core.primitives.errors import Corrupt
from cleancut.ports.store import Store

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Of any JSON document: a manifest of 50,000 shards takes 40 MiB."""


async def read_bounded(store: Store, path: str, limit: int) -> bytes:
    """The whole object at `path`. Limits: `limit` bytes and one more are held.

    Raises: Corrupt, if it is larger; and what the store does.
    """
    data = await store.get(path, 0, limit + 1)
    if len(data) > limit:
        raise Corrupt(
            f"{path} is larger than {limit} bytes, the most that such an object may have",
            "it was not written by cleancut: look at the object in the store",
            path=path,
        )
    return data


async def read_document(store: Store, path: str) -> bytes:
    """A JSON document: see `read_bounded`."""
    return await read_bounded(store, path, MAX_DOCUMENT_BYTES)
