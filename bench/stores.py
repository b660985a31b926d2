"""Measures stores in S3 by boto3 against the same by obstore, on one real SeaweedFS, in one run.

Usage: python -m bench.stores [--rounds N] [--packs N] [--json FILE]
Each round runs both libraries one after the other, in turning order, through the `Store` port with
8 calls at a time. CPU is that of this process, with all its threads; ratios are taken within a
round, medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from obstore.store import S3Store as ObstoreS3

from bench.measuring import show
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import run_all
from cleancut.store import cloud
from cleancut.store.cloud import CloudStore
from cleancut.store.open import open_store
from cleancut.store.urls import CloudUrl
from tests.support.s3_server import S3Server

if TYPE_CHECKING:
    from obstore.store import ClientConfig

AT_ONCE = 8
PACK_BYTES = 8 * 1024 * 1024
RANGE_BYTES = 128 * 1024
RANGES, STATS, NAMES, LISTS = 400, 400, 1000, 5
LIBRARIES = ("boto3", "obstore")
HEAD = ["work", "library", "cpu_s", "wall_s", "cpu_s_per_gb", "cpu_times_boto3", "wall_times_boto3"]


class Taken(NamedTuple):
    cpu_s: float
    wall_s: float


def open_by(library: str, server: S3Server, bucket: str, prefix: str) -> Store:
    """The same port on the same server; with obstore, by the adapter of Azure and Google."""
    if library == "boto3":
        return open_store(server.url(bucket, prefix), SystemClock())

    def s3(url: CloudUrl, options: ClientConfig) -> ObstoreS3:
        return ObstoreS3(
            url.bucket,
            prefix=url.prefix,
            endpoint=url.endpoint,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={**options, "allow_http": True},
            retry_config={"max_retries": 0},
        )

    setattr(cloud, "_store", s3)  # noqa: B010
    return CloudStore(CloudUrl("gs", bucket, prefix, endpoint=server.endpoint), SystemClock())


async def round_of(store: Store, packs: int) -> dict[str, Taken]:
    """Each kind of work once, on a store that is empty."""
    data = [os.urandom(PACK_BYTES) for _ in range(4)]
    taken = {}

    async def work(name: str, calls: list[Callable[[], Awaitable[object]]]) -> None:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        await run_all(calls, AT_ONCE)
        taken[name] = Taken(time.process_time() - cpu_s, time.perf_counter() - wall_s)

    async def list_all() -> int:
        return sum([1 async for _ in store.list("c/names/")])

    await store.put("c/warm", b"")
    await work("put", [partial(store.put, f"c/packs/{n}", data[n % 4]) for n in range(packs)])
    await work("get", [partial(store.get, f"c/packs/{n}") for n in range(packs)])
    spans = [(n % packs, n * 7919 * 512 % (PACK_BYTES - RANGE_BYTES)) for n in range(RANGES)]
    await work("range", [partial(store.get, f"c/packs/{n}", at, RANGE_BYTES) for n, at in spans])
    await work("stat", [partial(store.stat, f"c/packs/{n % packs}") for n in range(STATS)])
    await run_all([partial(store.put, f"c/names/{n:05d}", b"") for n in range(NAMES)], AT_ONCE)
    await work("list", [list_all for _ in range(LISTS)])
    await work("delete", [partial(store.delete, f"c/packs/{n}") for n in range(packs)])
    return taken


def bench(rounds: int, packs: int) -> dict[str, dict[str, list[Taken]]]:
    """What was taken, by work and library."""
    runs: dict[str, dict[str, list[Taken]]] = defaultdict(lambda: defaultdict(list))
    with S3Server(volume_mb=1024) as server:
        os.environ.update(server.environment())
        server.make_bucket("bench")

        async def one(library: str, prefix: str) -> dict[str, Taken]:
            store = open_by(library, server, "bench", prefix)
            try:
                return await round_of(store, packs)
            finally:
                await store.close()

        asyncio.run(one("boto3", "warm-up"))
        for number in range(rounds):
            turn = number % len(LIBRARIES)
            for library in LIBRARIES[turn:] + LIBRARIES[:turn]:
                for name, taken in asyncio.run(one(library, f"{library}-{number}")).items():
                    runs[name][library].append(taken)
    return runs


def table(runs: dict[str, dict[str, list[Taken]]], packs: int) -> list[dict[str, object]]:
    gigabytes = {
        "put": packs * PACK_BYTES / 1e9,
        "get": packs * PACK_BYTES / 1e9,
        "range": RANGES * RANGE_BYTES / 1e9,
    }
    rows: list[dict[str, object]] = []
    for work, by_library in runs.items():
        base = by_library["boto3"]
        for library, its in by_library.items():
            pairs = list(zip(its, base, strict=True))
            cpu_s = median(one.cpu_s for one in its)
            per_gb = round(cpu_s / gigabytes[work], 2) if work in gigabytes else ""
            rows.append({
                "work": work,
                "library": library,
                "cpu_s": round(cpu_s, 3),
                "wall_s": round(median(one.wall_s for one in its), 3),
                "cpu_s_per_gb": per_gb,
                "cpu_times_boto3": round(median(a.cpu_s / b.cpu_s for a, b in pairs), 2),
                "wall_times_boto3": round(median(a.wall_s / b.wall_s for a, b in pairs), 2),
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packs", type=int, default=24)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    runs = bench(arguments.rounds, arguments.packs)
    print(f"{arguments.packs} packs of 8 MiB, {RANGES} ranges of 128 KiB, {STATS} stats,"
          f" {LISTS} lists of {NAMES}, {arguments.packs} deletes, to SeaweedFS")  # fmt: skip
    rows = table(runs, arguments.packs)
    show(rows, HEAD)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
