"""Tar of a captured shard, read from its store: it ends only if it is the one that was captured."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt
from cleancut.ports.store import Store
from cleancut.repository.shards.tar_assembler import read_tar


async def read_captured(
    store: Store, paths: Paths, shard: ShardEntry
) -> AsyncGenerator[bytes | memoryview, None]:
    """The tar of `shard`; it ends only if it is the captured one: every block by its digest, and
    all of it by its sha256 or, without one, by its length.

    Order: as `read_tar`; the bytes may not be used before the end. Raises: Corrupt.
    """
    digest, size_bytes = hashlib.sha256() if shard.tar_sha256 else None, 0
    async with aclosing(read_tar(store, paths, shard.recipe)) as chunks:
        async for chunk in chunks:
            size_bytes += len(chunk)
            if digest is not None:
                digest.update(chunk)
            yield chunk
    if digest is not None:
        same = digest.hexdigest() == shard.tar_sha256
    else:
        same = size_bytes == shard.size_bytes
    if not same:
        raise Corrupt(
            f"shard {shard.shard_id} of {shard.collection!r} is not the tar that was captured",
            "another backup may be complete",
        )
