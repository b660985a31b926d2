"""Undelete while clients write: 1 % of the points are gone, and exactly these come back.

Usage: python -m bench.undelete [--points N] [--dims N] [--share S] [--qdrant real|standin|auto]
Three peers, two replicas of each shard. Four writers change points, add new ones, and write some of
the deleted ones themselves, from before the undelete until after it. In the end every point is
read: what was deleted is as it was, what a client wrote last stands, and all others are untouched.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from bench.measuring import MIB, peak_of, run_bench
from cleancut.core.primitives.errors import Corrupt
from cleancut_devcluster.demo.data import BATCH as LOADED
from cleancut_devcluster.demo.data import COLLECTION, Data, Shape, make_payload, make_vectors
from cleancut_devcluster.launch.setup import Setup, launch_setup

BATCH, PAGE, SEEN_S, LONG_S = 20, 2000, 2.0, 1200.0
VECTOR_EVERY = 50
"""One untouched point in this number is read with its vector."""


@dataclass(slots=True)
class Writer:
    """Upserts batches of its own ids, again and again. `written`: the last revision of each that
    was acknowledged; `points`: how many were, in all."""

    ids: Sequence[int]
    shape: Shape
    written: dict[int, int] = field(default_factory=dict)
    points: int = 0

    async def write(self, http: aiohttp.ClientSession, url: str) -> None:
        revision = 1
        while True:
            revision += 1
            for at in range(0, len(self.ids), BATCH):
                part = self.ids[at : at + BATCH]
                vectors = make_vectors(self.shape, revision * 1_000_000_000, len(part)).tolist()
                points = [
                    {"id": one, "vector": vector, "payload": {"revision": revision}}
                    for one, vector in zip(part, vectors, strict=True)
                ]
                path = f"{url}/collections/{COLLECTION}/points?wait=true"
                async with http.put(path, json={"points": points}) as answer:
                    answer.raise_for_status()
                self.written |= dict.fromkeys(part, revision)
                self.points += len(part)


@asynccontextmanager
async def writing(setup: Setup, writers: Sequence[Writer]) -> AsyncIterator[None]:
    """They write for the length of the block; what was begun then is awaited."""
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        urls = [peer.url for peer in setup.peers]
        tasks = [
            group.create_task(one.write(http, urls[at % len(urls)]))
            for at, one in enumerate(writers)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def writers_of(shape: Shape, gone: Sequence[int]) -> list[Writer]:
    """Each has points that are there, deleted ones, and new ones; one in five of the deleted is
    written by a client."""
    deleted = set(gone)
    there = [one for one in range(0, shape.points, 101) if one not in deleted]
    found = []
    for at in range(4):
        new = range(shape.points + at * 1000, shape.points + at * 1000 + 500)
        found.append(Writer([*there[at::4], *gone[at * 5 :: 20], *new], shape))
    return found


async def read_all(http: aiohttp.ClientSession, url: str) -> dict[int, Any]:
    found: dict[int, Any] = {}
    offset: Any = None
    while True:
        body = {"limit": PAGE, "offset": offset, "with_payload": True}
        async with http.post(f"{url}/points/scroll", json=body) as answer:
            page = (await answer.json())["result"]
        found |= {one["id"]: one["payload"] for one in page["points"]}
        offset = page["next_page_offset"]
        if offset is None:
            return found


async def wrong_vectors(
    http: aiohttp.ClientSession, url: str, ids: Sequence[int], known: Mapping[int, Any]
) -> int:
    """How many of these points have other vectors than they were loaded with."""
    wrong = 0
    for at in range(0, len(ids), PAGE):
        body = {"ids": list(ids[at : at + PAGE]), "with_vector": True, "with_payload": False}
        async with http.post(f"{url}/points", json=body) as answer:
            points = (await answer.json())["result"]
        wrong += sum(
            not np.allclose(one["vector"], known[one["id"]], rtol=0, atol=1e-5) for one in points
        )
    return wrong


def loaded_vectors(shape: Shape, ids: Iterable[int]) -> dict[int, Any]:
    """The vectors that `Data.load` gave these points."""
    wanted: dict[int, list[int]] = {}
    for one in ids:
        wanted.setdefault(one // LOADED * LOADED, []).append(one)
    found: dict[int, Any] = {}
    for start, mine in wanted.items():
        vectors = make_vectors(shape, start, min(LOADED, shape.points - start))
        found |= {one: vectors[one - start] for one in mine}
    return found


async def run(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    shape = Shape(points=options.points, dims=options.dims, shards=6, replicas=2, segments=2)
    async with (
        launch_setup(peers=3, coordinators=1, qdrant=options.qdrant) as setup,
        Data(setup.peers[0].url, shape) as data,
        aiohttp.ClientSession() as http,
    ):
        await data.create()
        began_s = time.monotonic()
        await data.load()
        print(f"loaded in {time.monotonic() - began_s:.0f} s", file=sys.stderr)
        made = await setup.cleancut("backup", "create", "-c", COLLECTION, timeout_s=LONG_S)
        backup = made.value("backup")["id"]
        gone = random.Random(1).sample(range(shape.points), round(shape.points * options.share))
        for at in range(0, len(gone), PAGE):
            await data.delete(gone[at : at + PAGE])
        writers = writers_of(shape, gone)
        async with writing(setup, writers):
            await asyncio.sleep(SEEN_S)
            before, began_s = written(writers), time.monotonic()
            words = ("undelete", "start", backup, "-c", COLLECTION, "--yes", *options.more)
            ended = await setup.cleancut(*words, timeout_s=LONG_S)
            took_s = time.monotonic() - began_s
            done, wrote = ended.value("undelete"), written(writers) - before
        url = f"{setup.peers[0].url}/collections/{COLLECTION}"
        rows.append(
            {
                "points": shape.points,
                "deleted": len(gone),
                "written by clients": wrote,
                "missing": done["missing"],
                "restored": done["restored"],
                "s": round(took_s, 1),
                "points/s": round(shape.points / took_s),
                "agents MiB": round(max(peak_of(one.pid) for one in setup.agents) / MIB),
                **await judged(http, url, writers, gone=gone, shape=shape),
            }
        )


def written(writers: Sequence[Writer]) -> int:
    return sum(one.points for one in writers)


async def judged(
    http: aiohttp.ClientSession,
    url: str,
    writers: Sequence[Writer],
    *,
    gone: Sequence[int],
    shape: Shape,
) -> dict[str, int]:
    """How many points are not as they must be. Raises: Corrupt, if any is."""
    last = {one: revision for each in writers for one, revision in each.written.items()}
    found = await read_all(http, url)
    deleted = set(gone)
    back = [one for one in gone if one not in last]
    others = [one for one in range(shape.points) if one not in last and one not in deleted]
    sample = [*back, *others[::VECTOR_EVERY]]
    verdict = {
        "absent": sum(one not in found for one in (*back, *others, *last)),
        "overwritten": sum(found[one]["revision"] < last[one] for one in last if one in found),
        "altered": sum(found[one] != make_payload(one) for one in (*back, *others) if one in found),
        "vectors": await wrong_vectors(http, url, sample, loaded_vectors(shape, sample)),
    }
    if any(verdict.values()):
        raise Corrupt(f"the collection is not as it must be: {verdict}")
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--qdrant", choices=("real", "standin", "auto"), default="auto")
    parser.add_argument("more", nargs="*", help="flags of `undelete start`, after --")
    rows: list[dict[str, Any]] = []
    return run_bench(run(parser.parse_args(), rows), lambda: rows)


if __name__ == "__main__":
    sys.exit(main())
