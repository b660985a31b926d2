"""Measures the pipeline alone: captures of tars from memory, into a store that takes anything.

Usage: python -m bench.pipeline [--tars DIRECTORY] [--rounds N]
`new`: nothing is known. `known`: the same tars again, against the recipes of the first. Also
what bounds it, on two threads and without anything else: sha256 of the tars, which restores need,
and blake3 with zstd of their blocks. Medians; two threads hash, as in an agent.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import zstandard
from blake3 import blake3

from bench.capture_once import PATHS
from cleancut.core.format.page import BLOCK_BYTES
from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.ids import Epoch
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import capture_shard
from cleancut.repository.shards.chunker import ZSTD_LEVEL
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.testing.memory_store import MemoryStore

CHUNK_BYTES = 1024 * 1024
THREADS = 2
Chunks = Sequence[bytes]


class Sink(MemoryStore):
    """Keeps pages and recipes, and lets packs go."""

    async def put(self, path: str, data: bytes) -> None:
        await super().put(path, b"" if "/packs/" in path else data)


async def chunks_of(tar: Chunks) -> AsyncIterator[bytes]:
    for chunk in tar:
        yield chunk
        await asyncio.sleep(0)


def read_chunks(file: Path) -> Chunks:
    with file.open("rb") as source:
        return list(iter(partial(source.read, CHUNK_BYTES), b""))


async def capture(
    store: MemoryStore, tars: Sequence[Chunks], parents: Sequence[Recipe | None]
) -> tuple[float, list[Recipe]]:
    """Seconds, and the recipes of all tars, captured side by side."""
    with ThreadPoolExecutor(THREADS) as pool, tempfile.TemporaryDirectory() as spill:
        packs = PackWriter(
            store, PATHS, epoch=Epoch(1), session_id=secrets.token_hex(16), pool=pool,
            spill_dir=Path(spill),
        )  # fmt: skip
        started = time.perf_counter()
        async with packs, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    capture_shard(chunks_of(tar), parent=parent, packs=packs, on_cut=lambda: None)
                )
                for tar, parent in zip(tars, parents, strict=True)
            ]
        took_s = time.perf_counter() - started
    return took_s, [await load_recipe(store, PATHS, t.result().recipe_digest) for t in tasks]


def sha256_all(tars: Sequence[Chunks]) -> float:
    def one(tar: Chunks) -> None:
        hasher = hashlib.sha256()
        for chunk in tar:
            hasher.update(chunk)

    return _timed(tars, one)


def digest_all(tars: Sequence[Chunks]) -> float:
    def one(tar: Chunks) -> None:
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        for chunk in tar:
            view = memoryview(chunk)
            for start in range(0, len(view), BLOCK_BYTES):
                block = view[start : start + BLOCK_BYTES]
                blake3(block).digest()
                compressor.compress(block)

    return _timed(tars, one)


def _timed(tars: Sequence[Chunks], act: Callable[[Chunks], object]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(act, tars))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tars", type=Path, default=Path("bench/out/tars"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    tars = [read_chunks(tar) for tar in sorted((arguments.tars / "t0").glob("*.tar"))]
    megabytes = sum(len(chunk) for tar in tars for chunk in tar) / 1e6
    took: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        store = Sink()
        new_s, recipes = asyncio.run(capture(store, tars, [None] * len(tars)))
        known_s, _ = asyncio.run(capture(store, tars, recipes))
        runs = {
            "new": new_s,
            "known": known_s,
            "sha256 alone": sha256_all(tars),
            "blake3 and zstd alone": digest_all(tars),
        }
        for name, seconds in runs.items():
            took.setdefault(name, []).append(seconds)
    print(f"{len(tars)} tars, {megabytes:.0f} MB, {THREADS} threads, {arguments.rounds} rounds")
    for name, times_s in took.items():
        print(f"{name:22} {median(times_s):6.3f} s  {megabytes / median(times_s):6.0f} MB/s")


if __name__ == "__main__":
    main()
