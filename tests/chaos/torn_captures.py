"""Search for torn direct captures: a shard is captured again and again through the agent's own
`Captures` while its points change in atomic groups, and each captured tar is opened and read.

Usage: python -m tests.chaos.torn_captures [--captures N] [--plain] [--deletes] [--json FILE]
It needs a real Qdrant, the storage engine, and a temporary directory on a proving file system.
`--plain`: no segment is indexed, so that writers store into large files; `--deletes`: groups are
deleted as well, and optimizers are off: a snapshot of Qdrant that overlaps an optimization lacks
deletes, which only the log repairs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from cleancut.core.capture.proof import SETTLED_NS
from cleancut.core.primitives.errors import CleancutError, Unavailable
from cleancut.runtime.concurrency import run_in_thread, until_signal
from cleancut_agent.capture.direct_tar import OtherFiles, UnprovenFiles
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers
from tests.chaos.capture_chain import Chain
from tests.chaos.group_writers import Found, GroupWriters, payload_of, vector_of

COLLECTION = "groups"
GREEN_S = 600.0
BATCH = 1000


@dataclass(slots=True)
class Figures:
    """Of one run. `unproven`: captures that were given up, with the reasons in `reasons`."""

    captures: int = 0
    torn: int = 0
    unproven: int = 0
    failed: int = 0
    whole: int = 0
    operations: int = 0
    streamed_bytes: int = 0
    direct_bytes: int = 0
    kept_bytes: int = 0
    with_kept: int = 0
    with_direct: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def count(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


async def search(options: argparse.Namespace, directory: Path) -> Figures:
    """All figures. Raises: CleancutError."""
    figures = Figures()
    async with loaded_peer(options, directory) as peer:
        young_ns = max(0, SETTLED_NS - int(options.settled_ms * 1e6))
        chain = Chain(peer, COLLECTION, directory, young_ns)
        writers = GroupWriters(
            peer.ports[0],
            COLLECTION,
            options.points,
            options.dims,
            groups=options.groups,
            deletes=options.deletes,
        )
        try:
            with writers:
                for number in range(options.captures):
                    if number % options.fresh == 0:
                        chain.restart()
                    await _one(chain, writers, figures, directory)
                    if writers.errors:
                        raise Unavailable(f"a writer ended: {writers.errors[0]}")
                    if number % 10 == 9:
                        _say(figures)
        finally:
            await chain.close()
        figures.operations = writers.operations
    return figures


async def _one(chain: Chain, writers: GroupWriters, figures: Figures, directory: Path) -> None:
    figures.captures += 1
    try:
        stored, since_s, until_s = await chain.capture()
    except UnprovenFiles as error:
        figures.unproven += 1
        figures.count(error.message.rsplit(":", 1)[-1].strip())
        return
    except (CleancutError, TimeoutError) as error:
        figures.failed += 1
        figures.count(str(error) or type(error).__name__)
        if isinstance(error, OtherFiles):
            chain.restart()
        return
    if stored.sources is None:
        figures.whole += 1
    else:
        figures.streamed_bytes += stored.sources.streamed_bytes
        figures.direct_bytes += stored.sources.direct_bytes
        figures.kept_bytes += stored.sources.kept_bytes
        figures.with_direct += bool(stored.sources.direct_bytes)
        figures.with_kept += bool(stored.sources.kept_bytes)
    tar = directory / "shard.tar"
    await chain.write_tar(tar)
    found = await run_in_thread(partial(_faults, tar, writers, since_s, until_s))
    figures.torn += bool(found)
    figures.faults += [f"capture {figures.captures}: {one}" for one in found[:3]]


def _faults(tar: Path, writers: GroupWriters, since_s: float, until_s: float) -> list[str]:
    """What is wrong with the shard in `tar`, which is removed; the engine's own error, if it
    cannot be opened."""
    import qdrant_edge as edge

    where = Path(tempfile.mkdtemp(dir=tar.parent))
    try:
        edge.EdgeShard.unpack_snapshot(str(tar), str(where / "shard"))
        tar.unlink()
        shard = edge.EdgeShard.load(str(where / "shard"))
        try:

            def fetch(points: list[int]) -> Mapping[int, Found]:
                records: Any = shard.retrieve([*points], with_payload=True, with_vector=True)
                return {int(one.id): Found(one.vector, one.payload or {}) for one in records}

            return writers.faults(fetch, since_s, until_s)
        finally:
            shard.close()
    finally:
        shutil.rmtree(where, ignore_errors=True)


@contextlib.asynccontextmanager
async def loaded_peer(options: argparse.Namespace, directory: Path) -> AsyncIterator[PeerProcess]:
    """One peer with a collection whose segments have been built, and whose files have settled."""
    async with launch_peers(1, directory / "peers", "real") as (peer,):
        async with httpx.AsyncClient(base_url=peer.url, timeout=120.0) as http:
            await _load(http, options)
            if options.deletes:
                await _put(
                    http, "PATCH", "", {"optimizers_config": {"max_optimization_threads": 0}}
                )
        if not options.settled_ms < SETTLED_NS / 1e6:
            start_s = time.monotonic()

            async def settled() -> bool | None:
                return time.monotonic() > start_s + SETTLED_NS / 1e9 or None

            await wait_for(settled, "the files have settled", 120.0, 1.0)
        yield peer


async def _load(http: httpx.AsyncClient, options: argparse.Namespace) -> None:
    kb = options.points * options.dims * 4 // 1024
    config = {
        "vectors": {"size": options.dims, "distance": "Dot"},
        "hnsw_config": {"m": 4, "ef_construct": 8},
        "optimizers_config": {
            "default_segment_number": 2,
            "indexing_threshold": 0 if options.plain else min(200, max(10, kb // 100)),
            "flush_interval_sec": 1,
        },
    }
    await _put(http, "PUT", "", config)
    for name, kind in {"city": "keyword", "k": "integer", "text": "text"}.items():
        await _put(http, "PUT", "/index?wait=true", {"field_name": name, "field_schema": kind})
    for start in range(0, options.points, BATCH):
        points = [
            {
                "id": point,
                "vector": vector_of(point, 0, options.dims),
                "payload": payload_of(point, 0),
            }
            for point in range(start, min(options.points, start + BATCH))
        ]
        await _put(http, "PUT", "/points?wait=true", {"points": points})

    async def green() -> bool | None:
        answer = (await http.get(f"/collections/{COLLECTION}")).json()["result"]
        return answer["status"] == "green" or None

    await wait_for(green, "the collection is optimized", GREEN_S, 0.5)


async def _put(http: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    answer = await http.request(method, f"/collections/{COLLECTION}{path}", json=body)
    if answer.status_code != 200:
        raise Unavailable(f"{method} {path}: {answer.status_code} {answer.text[:200]}")


def _say(figures: Figures) -> None:
    shown = {name: value for name, value in asdict(figures).items() if name != "faults"}
    sys.stderr.write(f"{shown}\n")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Options as on the command line; None: those of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=100)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=25, help="captures without a new beginning")
    parser.add_argument(
        "--settled-ms", type=float, default=SETTLED_NS / 1e6, help="how old a file has to be"
    )
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--deletes", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(words)


def main() -> int:
    options = parse()
    found: list[Figures] = []

    async def work() -> None:
        with tempfile.TemporaryDirectory(prefix="cleancut-torn-") as directory:
            found.append(await search(options, Path(directory)))

    try:
        asyncio.run(until_signal(work()))
    except CleancutError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    if not found:
        return 130
    told = json.dumps(asdict(found[0]), indent=2)
    sys.stdout.write(f"{told}\n")
    if options.json:
        options.json.write_text(told)
    return 1 if found[0].torn else 0


if __name__ == "__main__":
    sys.exit(main())
