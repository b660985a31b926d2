"""How a catalog's size is paid for: listing its groups, and gc runs over all that they name.

A store in a directory with many groups, made of the project's own records; packs are empty files,
since only their names count here. Each step runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.format.pack_uses import PackUse
from cleancut.core.format.page import Block, BlockKind, PageBuilder, seal
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import PageRef, Recipe, TarMember
from cleancut.core.maintenance.garbage import LiveSet
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import (
    ClusterName,
    Digest,
    Epoch,
    OperationId,
    PeerId,
    Sha256,
    ShardId,
)
from cleancut.core.protocol.etcd_records import Reading
from cleancut.ports.store import ObjectInfo, Store
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.repository.garbage import ReferencedNames, find_garbage
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store

PATHS = Paths(ClusterName("prod"))
SHARDS = 12
CHANGED = 3
"""Shards of each group that are not taken over from the one before."""
PACKS = 4
MEMBERS = 150
"""Files of a shard, as a real one has them."""
SHOWN = 50


def make(root: Path, groups: int) -> None:
    """A catalog of `groups`, of which every fifth is deleted."""
    recipes = ["" for _ in range(SHARDS)]
    for epoch in range(1, groups + 1):
        for index in range(CHANGED if epoch > 1 else SHARDS):
            number = (epoch * CHANGED + index) % SHARDS if epoch > 1 else index
            recipes[number] = _capture(root, epoch, number)
        _put(root, PATHS.group(Epoch(epoch)), encode(_manifest(epoch, recipes)))
        if epoch % 5 == 0:
            _put(root, PATHS.tombstone(Epoch(epoch)), b"{}")


def _capture(root: Path, epoch: int, shard: int) -> str:
    origin = f"{epoch:012d}/{shard:032x}"
    packs = [f"{origin}/{number}" for number in range(PACKS)]
    builder = PageBuilder()
    for number in range(MEMBERS):
        pack = packs[number % PACKS]
        _put(root, PATHS.pack(pack), b"")
        digest = f"{epoch}-{shard}-{number}".encode().ljust(32, b".")
        builder.add(Block(BlockKind.PACKED, digest, pack, number, 1))
    page, stored = seal(builder.page(origin))
    _put(root, PATHS.page(page), stored)
    members = tuple(TarMember(f"segments/{n}", os.urandom(512), 1) for n in range(MEMBERS))
    recipe = Recipe(
        origin,
        members,
        (PageRef(Digest(page), MEMBERS),),
        tuple(PackUse(pack, MEMBERS // PACKS) for pack in packs),
        Sha256("0" * 64),
        sum(member.tar_bytes() for member in members),
    )
    name, sealed = seal(recipe)
    _put(root, PATHS.recipe(name), sealed)
    return name


def _put(root: Path, path: str, data: bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _manifest(epoch: int, recipes: list[str]) -> Manifest:
    reading = Reading(number=7, incarnation="2026-01-01T00:00:00Z", arrivals=0)
    shards = tuple(
        ShardEntry(
            collection="docs",
            shard_id=ShardId(number),
            peer_id=PeerId(number % 3 + 1),
            agent=f"agent-{number % 3}",
            recipe=recipe,
            tar_sha256="0" * 64,
            size_bytes=1 << 30,
            new_bytes=0,
            stored_bytes=0,
            first=reading,
            second=replace(reading, number=8),
            drained=True,
            uuid="u",
        )
        for number, recipe in enumerate(recipes)
    )
    ids = tuple(shard.shard_id for shard in shards)
    return Manifest(
        format=FORMAT,
        cluster="prod",
        cluster_id="c" * 32,
        epoch=Epoch(epoch),
        operation=OperationId(f"b-{epoch:016x}"),
        created_by="cleancut",
        cut_at="2026-01-01T00:00:00.000Z",
        skew_ms=100,
        collections=(CollectionEntry(name="docs", uuid="u", info={}, shard_ids=ids),),
        shards=shards,
        source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
        view="v" * 64,
    )


class Counting:
    """A store, and how often it was asked; a page of a listing has 1000 objects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.calls["get"] += 1
        return await self._store.get(path, offset, length)

    async def folders(self) -> tuple[str, ...]:
        return await self._store.folders()

    async def clock_s(self) -> float | None:
        return await self._store.clock_s()

    async def remove_unfinished(self, age_s: float) -> int:
        return await self._store.remove_unfinished(age_s)

    async def stat(self, path: str) -> ObjectInfo | None:
        self.calls["stat"] += 1
        return await self._store.stat(path)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        seen = 0
        async for info in self._store.list(prefix):
            if seen % 1000 == 0:
                self.calls["list"] += 1
            seen += 1
            yield info


async def list_newest(store: Any) -> dict[str, int]:
    """As `backup list` without a coordinator."""
    epochs = await list_epochs(store, PATHS)
    for epoch in reversed(epochs[-SHOWN:]):
        await load_group(store, PATHS, epoch)
    return {"groups": len(epochs)}


async def plan_gc(store: Any) -> dict[str, float]:
    """The first of two gc runs, but for what it writes, and then what a next one asks for."""
    names = ReferencedNames(store, PATHS)
    living: LiveSet = await names.living(used_epochs=(), now_s=time.time())
    garbage = await find_garbage(store, PATHS, living)
    calls, began_s = sum(store.calls.values()), time.monotonic()
    await names.living(used_epochs=(), now_s=time.time())
    return {
        "again_s": round(time.monotonic() - began_s, 2),
        "again_calls": sum(store.calls.values()) - calls,
        "groups": len(living.epochs),
        "recipes": len(living.recipes),
        "packs": sum("/" in name for name in living.named),
        "garbage": len(garbage.objects),
    }


STEPS: dict[str, Callable[[Any], Coroutine[Any, Any, Mapping[str, float]]]] = {
    "list": list_newest,
    "gc": plan_gc,
}


def measure(root: Path, step: str) -> dict[str, Any]:
    """What one step took, in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    store = Counting(open_store(f"file://{root}", SystemClock()))
    before_mib, began_s = _peak_mib(), time.monotonic()
    found = asyncio.run(STEPS[step](store))
    took_s = time.monotonic() - began_s
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "step": step,
        "took_s": round(took_s, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(_peak_mib()),
        "start_mib": round(before_mib),
        "calls": dict(store.calls),
        **found,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", default="100,1000,10000")
    parser.add_argument("--step", nargs=2, metavar=("ROOT", "STEP"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(Path(options.step[0]), options.step[1])))
        return
    for groups in map(int, options.groups.split(",")):
        root = Path(tempfile.mkdtemp(prefix="cleancut-catalog-"))
        try:
            make(root, groups)
            for step in STEPS:
                argv = [sys.executable, "-m", "bench.catalog", "--step", str(root), step]
                answer = subprocess.run(argv, check=True, capture_output=True, text=True)
                print(answer.stdout.strip(), flush=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
