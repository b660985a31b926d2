"""One restore of all tars of a backup into a directory, as an agent puts them together for Qdrant.

Usage: python -m bench.read_once STORE-URL BACKUP.json DIRECTORY RESULT.json
BACKUP.json is what `bench.capture_once` has written. RESULT.json holds the seconds from the first
request to the last byte written; the start of Python is not in them, as an agent runs on.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

from bench.capture_once import PATHS
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_cache import PackCache
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import run_all
from cleancut.store.key_source import KeySource
from cleancut.store.open import open_store


async def restore(url: str, recipes: dict[str, str], directory: Path) -> float:
    store = open_store(url, SystemClock(), KeySource())
    await store.stat(PATHS.format)  # an agent's connection is up long before
    cache = PackCache(store)
    started = time.perf_counter()
    calls = [
        partial(_write, store, cache, recipe, directory / name) for name, recipe in recipes.items()
    ]
    await run_all(calls, len(calls))
    took_s = time.perf_counter() - started
    await store.close()
    return took_s


async def _write(store: Store, cache: PackCache, recipe: str, target: Path) -> None:
    with target.open("wb") as file:
        async with aclosing(read_tar(store, PATHS, recipe, cache=cache)) as chunks:
            async for chunk in chunks:
                file.write(chunk)


def main(url: str, backup: str, directory: str, result: str) -> None:
    recipes = json.loads(Path(backup).read_text())["recipes"]
    took_s = asyncio.run(restore(url, recipes, Path(directory)))
    Path(result).write_text(json.dumps({"took_s": took_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
