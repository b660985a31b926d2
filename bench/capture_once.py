"""One backup of all tars in a directory, as an agent makes it: all streams at once, one writer.

Usage: python -m bench.capture_once STORE-URL DIRECTORY RESULT.json [PARENTS.json]
RESULT.json holds the recipes (the parents of a next run), bytes, and the seconds from the first
byte read to the last one durable; the start of Python is not in them, as an agent runs on.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.repository.packs.pack_writer import PackWriter, share_bytes
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.runtime.clock import SystemClock
from cleancut.store.key_source import KeySource
from cleancut.store.keyring import ensure_data_key
from cleancut.store.open import open_store

CHUNK_BYTES = 1024 * 1024
PATHS = Paths(ClusterName("bench"))


async def read_chunks(path: Path, chunk_bytes: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    with path.open("rb", buffering=0) as file:
        while chunk := await loop.run_in_executor(None, file.read, chunk_bytes):
            yield chunk


async def back_up(url: str, tars: list[Path], parents: dict[str, str]) -> dict[str, Any]:
    keys = KeySource()  # from the environment, if there is one
    store = open_store(url, SystemClock(), keys)
    if keys.read():
        await ensure_data_key(store, PATHS, keys.read(), time.time())
    await store.stat(PATHS.format)  # an agent's connection is up long before
    recipes = {name: await load_recipe(store, PATHS, digest) for name, digest in parents.items()}
    shards: dict[str, CapturedShard] = {}
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as spill:
        packs = PackWriter(
            store, PATHS, epoch=Epoch(1), session_id=secrets.token_hex(16), pool=pool,
            spill_dir=Path(spill),
        )  # fmt: skip

        chunk_bytes = min(CHUNK_BYTES, share_bytes(len(tars)) // 2)

        async def one(path: Path) -> None:
            shards[path.name] = await capture_shard(
                read_chunks(path, chunk_bytes),
                parent=recipes.get(path.name),
                packs=packs,
                on_cut=lambda: None,
            )

        async with packs, asyncio.TaskGroup() as group:
            for path in tars:
                group.create_task(one(path))
    took_s = time.perf_counter() - started
    await store.close()
    return {
        "took_s": took_s,
        "recipes": {name: shard.recipe_digest for name, shard in shards.items()},
        "tasks": {
            name: {
                "recipe": shard.recipe_digest,
                "tar_sha256": shard.tar_sha256,
                "size_bytes": shard.size_bytes,
            }
            for name, shard in shards.items()
        },
        "size_bytes": sum(shard.size_bytes for shard in shards.values()),
        "stored_bytes": sum(shard.stored_bytes for shard in shards.values()),
    }


def main(url: str, directory: str, result: str, parents: str = "") -> None:
    known = json.loads(Path(parents).read_text())["recipes"] if parents else {}
    report = asyncio.run(back_up(url, sorted(Path(directory).glob("*.tar")), known))
    Path(result).write_text(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
