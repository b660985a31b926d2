"""Reads shards of a group again, as a restore would, and tells which are not what was captured."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from contextlib import aclosing

from cleancut.errors import Corrupt, NotFound
from cleancut.io.assemble import read_tar
from cleancut.io.ports import Store
from cleancut.keys import Paths
from cleancut.manifest import ShardEntry


def choose_shards(
    shards: Sequence[ShardEntry], percent: int, chance: random.Random
) -> list[ShardEntry]:
    """Shards at random, until `percent` of the group's bytes are among them; none for 0."""
    wanted_bytes = sum(shard.size_bytes for shard in shards) * percent / 100
    chosen: list[ShardEntry] = []
    for shard in chance.sample(shards, len(shards)):
        if sum(one.size_bytes for one in chosen) >= wanted_bytes:
            break
        chosen.append(shard)
    return chosen


async def find_damage(store: Store, paths: Paths, shards: Sequence[ShardEntry]) -> list[str]:
    """What is wrong with the tar of each shard, one line a shard. Limits: one shard at a time."""
    found = []
    for shard in shards:
        name = f"{shard.collection}/{shard.shard_id}"
        digest = hashlib.sha256()
        try:
            async with aclosing(read_tar(store, paths, shard.recipe)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
        except (Corrupt, NotFound) as error:
            found.append(f"{name}: {error.message}")
            continue
        if digest.hexdigest() != shard.tar_sha256:
            found.append(f"{name}: its blocks make another tar than was captured")
    return found
