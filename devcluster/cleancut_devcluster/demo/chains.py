"""The chains that a backup holds, read from its tars alone: no Qdrant, no coordinator, no etcd."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from cleancut.runtime.concurrency import run_all
from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.setup import Setup

_PAGE = 5000
_AT_ONCE = 2


async def read_chains(setup: Setup, backup: str, shards: int) -> dict[int, set[int]]:
    """The steps of each chain in all shards of `backup`, extracted and opened two at once.

    Raises: the error of `backup extract`.
    """
    found: dict[int, set[int]] = {}
    scratch = setup.base_dir / "extracted"
    scratch.mkdir(exist_ok=True)

    async def read(shard: int) -> None:
        tar = scratch / f"{shard}.tar"
        where = ("--collection", COLLECTION, "--shard", str(shard), "--out", str(tar))
        answer = await setup.catalog("backup", "extract", backup, *where)
        answer.check()
        for chain, step in await asyncio.to_thread(open_tar, tar, scratch / str(shard)):
            found.setdefault(chain, set()).add(step)

    try:
        await run_all([partial(read, shard) for shard in range(shards)], _AT_ONCE)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def open_tar(tar: Path, directory: Path) -> list[tuple[int, int]]:
    """(chain, step) of each point of a chain in a shard's tar. The tar is removed."""
    directory.mkdir()
    edge.EdgeShard.unpack_snapshot(str(tar), str(directory))
    tar.unlink()
    shard = edge.EdgeShard.load(str(directory))
    try:
        return _steps(shard)
    finally:
        shard.close()
        shutil.rmtree(directory)


def _steps(shard: Any) -> list[tuple[int, int]]:
    match = edge.MatchValue("chain")
    condition = edge.Filter(must=[edge.FieldCondition("category", match=match)])
    steps: list[tuple[int, int]] = []
    offset = None
    while True:
        request = edge.ScrollRequest(offset, _PAGE, condition, with_payload=True)
        points, offset = shard.scroll(request)
        steps += [(int(one.payload["chain"]), int(one.payload["step"])) for one in points]
        if offset is None:
            return steps
