"""Backups without a fence while clients write: how many are of one instant, and what that costs.

Usage: python -m bench.under_writes [--backups N] [--only MODE] [--replicas 1|2] [--minutes M]
           [--base N] [--qdrant real|standin|auto] --out FILE
Each backup is a line of FILE; a run goes on where an earlier one ended, and prints a table of all.
Modes: `100`, `500` and `full` are four writers that upsert as many points a second in sum, or all
they can; `churn` is two such writers that delete their oldest points, and one that writes and
deletes thousands, so that Qdrant optimizes all the while. Every shard of every backup is read from
the store, its log replayed, and the state compared with the writers' histories (`bench.histories`);
one backup in `--restore-every` is restored as well, and compared again. `--base`: points
that lie there before, in segments that stay, and whose files are old enough to be captured from the
disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import qdrant_edge as edge

from bench.histories import REVISION, History, Pace, acknowledged, histories, judge
from bench.measuring import run_bench
from cleancut.core.capture.proof import SETTLED_NS
from cleancut.core.format.manifest import CaptureSources
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName
from cleancut.repository.catalog import find_group
from cleancut.repository.shards.captured_tar import read_captured
from cleancut.store.file import FileStore
from cleancut_devcluster.demo.data import COLLECTION, Data, Shape
from cleancut_devcluster.demo.phase_times import read_search
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Setup, launch_setup

WRITERS, DIMS, CREATE_S, PAGE = 4, 32, 300.0, 5000
BEFORE_S, AFTER_S = 1.0, 0.2
FLUSH_S = 6.0
"""By then Qdrant has written its files back."""
CHURN = Pace(every_s=0.1, batch=100, keep=4000, dims=128)
MODES: dict[str, tuple[Pace, ...]] = {
    "100": (Pace(every_s=WRITERS / 100),) * WRITERS,
    "500": (Pace(every_s=WRITERS / 500),) * WRITERS,
    "full": (Pace(),) * WRITERS,
    "churn": (Pace(every_s=0.02, keep=20, dims=128),) * 2 + (CHURN,),
}
RESTORED = "restored"


@dataclass(slots=True)
class Line:
    """One backup. `wrong`: points that are not those of any instant of their writer; `lost`:
    operations missing that were acknowledged before. `disk_kb`: of the tars, what was read from the
    disk or kept of the parent, and `streamed_kb` what Qdrant sent."""

    mode: str
    replicas: int
    version: str
    consistency: str
    wrong: int
    lost: int
    operations: int
    rate: int
    rounds: int
    waited_ms: int
    window_ms: int
    optimizing: float
    disk_kb: int = 0
    streamed_kb: int = 0
    restored: str = ""
    before_ms: list[float] = field(default_factory=list)
    during_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Site:
    setup: Setup
    shape: Shape
    version: str
    first: int
    """Number of the next writer: a run that goes on shares no points with the one before."""

    async def measure(self, mode: str, *, restore: bool) -> Line:
        """One backup, judged. Raises: the error of a backup that fails."""
        paces = MODES[mode]
        urls = [peer.url for peer in self.setup.peers]
        first, self.first = self.first, self.first + len(paces)
        async with histories(urls, COLLECTION, paces, first) as made:
            await self.warm(made, paces)
            before_s = time.time()
            await asyncio.sleep(BEFORE_S)
            asked_s, known = time.time(), [one.acknowledged for one in made]
            async with self.optimizations() as seen:
                words = ("backup", "create", "-c", COLLECTION)
                answer = await self.setup.cleancut(*words, timeout_s=CREATE_S)
            ended_s, written = time.time(), acknowledged(made) - sum(known)
            await asyncio.sleep(AFTER_S)
        backup = answer.value("backup")
        found, sources = await self.read(backup["id"])
        wrong, lost = verdicts(made, found, known)
        logs = [one.child.log for one in self.setup.coordinators]
        search = read_search(logs, backup["epoch"])
        line = Line(
            mode,
            self.shape.replicas,
            self.version,
            backup["evidence"]["consistency"],
            wrong,
            lost,
            sum(len(one.ops) for one in made),
            round(written / (ended_s - asked_s)),
            search.get("rounds", 0),
            search.get("waited_ms", -1),
            search.get("window_ms", 0),
            round(sum(seen) / max(1, len(seen)), 2),
            (sources.direct_bytes + sources.kept_bytes) // 1000,
            sources.streamed_bytes // 1000,
            before_ms=latencies(made, before_s, asked_s),
            during_ms=latencies(made, asked_s, ended_s),
        )
        if restore:
            line.restored = await self.restore(backup["id"], made, known, found)
        await self.clear(made)
        return line

    async def warm(self, made: Sequence[History], paces: Sequence[Pace]) -> None:
        """Until each writer has enough points, and deletes some."""
        pairs = list(zip(made, paces, strict=True))

        async def found() -> bool | None:
            return all(one.acknowledged >= 5 + p.keep // p.batch for one, p in pairs) or None

        await wait_for(found, "the writers", 120.0, 0.05)

    @asynccontextmanager
    async def optimizations(self) -> AsyncIterator[list[bool]]:
        """Whether some shard is being optimized, look by look, for the length of the block."""
        seen: list[bool] = []

        async def look() -> None:
            async with aiohttp.ClientSession() as http:
                while True:
                    for peer in self.setup.peers:
                        url = f"{peer.url}/collections/{COLLECTION}"
                        async with http.get(url) as answer:
                            status = (await answer.json())["result"]["status"]
                        seen.append(status != "green")
                        if seen[-1]:
                            break
                    await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(look())
            yield seen
            task.cancel()

    async def read(self, backup: str) -> tuple[dict[int, int], CaptureSources]:
        """The revision of each point in the tars of a backup, opened as a restore opens them, and
        where their bytes came from."""
        paths = Paths(ClusterName(self.setup.cluster))
        store = FileStore(Path(self.setup.store_url.removeprefix("file://")))
        manifest = await find_group(store, paths, backup)
        scratch = self.setup.base_dir / "extracted"
        found: dict[int, int] = {}
        entries = list(manifest.shards_of(COLLECTION))
        came = [one.sources or CaptureSources(one.size_bytes) for one in entries]
        for entry in entries:
            scratch.mkdir(exist_ok=True)
            tar = scratch / "shard.tar"
            with tar.open("wb") as file:
                async with aclosing(read_captured(store, paths, entry)) as chunks:
                    async for chunk in chunks:
                        file.write(chunk)
            found |= await asyncio.to_thread(revisions, tar, scratch / "shard")
            shutil.rmtree(scratch)
        return found, CaptureSources(
            sum(one.streamed_bytes for one in came),
            sum(one.direct_bytes for one in came),
            sum(one.kept_bytes for one in came),
        )

    async def restore(
        self, backup: str, made: Sequence[History], known: Sequence[int], read: dict[int, int]
    ) -> str:
        """What a real restore of the backup shows; it is dropped again."""
        words = ("restore", "start", backup, "--rename", f"{COLLECTION}={RESTORED}", "--yes")
        (await self.setup.cleancut(*words, timeout_s=CREATE_S)).check()
        url = f"{self.setup.peers[0].url}/collections/{RESTORED}"
        found: dict[int, int] = {}
        async with aiohttp.ClientSession() as http:
            offset: Any = None
            while True:
                body = {"limit": PAGE, "with_payload": [REVISION], "offset": offset}
                async with http.post(f"{url}/points/scroll", json=body) as answer:
                    page = (await answer.json())["result"]
                found |= {one["id"]: one["payload"][REVISION] for one in page["points"]}
                offset = page["next_page_offset"]
                if offset is None:
                    break
            async with http.delete(url) as answer:
                answer.raise_for_status()
        wrong, lost = verdicts(made, found, known)
        return "equal" if found == read and not wrong + lost else f"{wrong} wrong, {lost} lost"

    async def clear(self, made: Sequence[History]) -> None:
        """The writers' points are deleted."""
        url = f"{self.setup.peers[0].url}/collections/{COLLECTION}/points/delete?wait=true"
        async with aiohttp.ClientSession() as http:
            for one in made:
                ids = sorted({point for op in one.ops for point in op.ids})
                for at in range(0, len(ids), PAGE):
                    async with http.post(url, json={"points": ids[at : at + PAGE]}) as answer:
                        answer.raise_for_status()


def verdicts(
    made: Sequence[History], found: dict[int, int], known: Sequence[int]
) -> tuple[int, int]:
    """How many points are wrong, and how many operations lost, of all writers."""
    all_of = [judge(one, found, count) for one, count in zip(made, known, strict=True)]
    return sum(one.wrong for one in all_of), sum(one.lost for one in all_of)


def latencies(made: Sequence[History], since_s: float, until_s: float) -> list[float]:
    return sorted(round(ms, 1) for one in made for ms in one.took_ms(since_s, until_s))


def revisions(tar: Path, directory: Path) -> dict[int, int]:
    directory.mkdir()
    edge.EdgeShard.unpack_snapshot(str(tar), str(directory))
    shard: Any = edge.EdgeShard.load(str(directory))
    found: dict[int, int] = {}
    offset = None
    try:
        while True:
            points, offset = shard.scroll(edge.ScrollRequest(offset, PAGE, with_payload=True))
            found |= {int(one.id): int(one.payload[REVISION]) for one in points}
            if offset is None:
                return found
    finally:
        shard.close()


async def run(options: argparse.Namespace) -> None:
    """Makes what is still missing in the file. Raises: the error of a set-up."""
    until_s = time.monotonic() + 60 * options.minutes
    for replicas in options.replicas or (1, 2):
        for mode in [options.only] if options.only else list(MODES):
            if time.monotonic() < until_s:
                await run_row(options, mode, replicas, until_s)


async def run_row(options: argparse.Namespace, mode: str, replicas: int, until_s: float) -> None:
    wanted = options.churn_backups if mode == "churn" else options.backups
    dims = MODES[mode][0].dims
    shape = Shape(points=options.base, dims=dims, replicas=replicas, segments=2)
    async with (
        launch_setup(peers=3, coordinators=1, qdrant=options.qdrant) as setup,
        Data(setup.peers[0].url, shape) as data,
    ):
        async with setup.peers[0].client() as qdrant:
            version = f"{setup.qdrant} {await qdrant.version()}"
        done = [
            one
            for one in read_lines(options.out)
            if (one["mode"], one["replicas"], one["version"]) == (mode, replicas, version)
        ]
        if len(done) >= wanted:
            return
        await data.create()
        if options.base:
            await lay_base(setup, data)
        site = Site(setup, shape, version, first=1)
        for number in range(len(done), wanted):
            if time.monotonic() > until_s:
                return
            line = await site.measure(mode, restore=number % options.restore_every == 0)
            with options.out.open("a") as file:
                file.write(json.dumps(fields_of(line)) + "\n")
            told = {k: v for k, v in fields_of(line).items() if not isinstance(v, list)}
            print(json.dumps(told), file=sys.stderr)


async def lay_base(setup: Setup, data: Data) -> None:
    """All points of the shape, in segments that no optimizer merges, whose files have settled."""
    await data.load()
    await data.wait_optimized()
    shape = data.shape
    segment_kb = shape.points * shape.dims * 4 // 1024 // shape.shards // shape.segments
    limit = {"optimizers_config": {"max_segment_size": max(1, segment_kb // 2)}}
    async with setup.peers[0].client() as qdrant:
        await qdrant.patch_collection(data.collection, limit)
    await asyncio.sleep(FLUSH_S + SETTLED_NS / 1e9)


def fields_of(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__slots__}


def read_lines(out: Path) -> list[dict[str, Any]]:
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in out.read_text().splitlines()]
    return []


def rows_of(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each mode, number of replicas and version."""
    rows = []
    for key in sorted({(one["version"], one["replicas"], one["mode"]) for one in lines}):
        mine = [o for o in lines if (o["version"], o["replicas"], o["mode"]) == key]
        waits = [one["waited_ms"] for one in mine if one["waited_ms"] >= 0]
        proven = [one for one in mine if one["consistency"] == "point-in-time"]
        counts = Counter(one["consistency"] for one in mine)
        restored = [one["restored"] for one in proven if one["restored"]]
        rows.append(
            {
                "Qdrant": key[0],
                "replicas": key[1],
                "mode": key[2],
                "backups": len(mine),
                "consistency": ", ".join(f"{count} {name}" for name, count in counts.items()),
                "torn": sum(one["wrong"] > 0 for one in proven),
                "wrong": sum(one["wrong"] for one in proven),
                "torn else": sum(one["wrong"] > 0 for one in mine if one not in proven),
                "lost": sum(one["lost"] for one in mine),
                "restored equal": f"{restored.count('equal')} of {len(restored)}",
                "writes/s": round(median(one["rate"] for one in mine)),
                "disk share": round(disk_share(mine), 2),
                "optimizing": round(median(one["optimizing"] for one in mine), 2),
                "wait p50/p99/max": triple(waits),
                "rounds p50/max": triple([one["rounds"] for one in mine]),
                "before p50/p99": triple([ms for one in mine for ms in one["before_ms"]]),
                "during p50/p99": triple([ms for one in mine for ms in one["during_ms"]]),
            }
        )
    return rows


def disk_share(lines: Sequence[dict[str, Any]]) -> float:
    """How much of the tars Qdrant did not send."""
    disk = sum(int(one.get("disk_kb", 0)) for one in lines)
    return disk / max(1, disk + sum(int(one.get("streamed_kb", 0)) for one in lines))


def triple(values: Sequence[float]) -> str:
    """p50/p99/greatest."""
    if not values:
        return "-"
    ordered = sorted(values)
    return "/".join(
        f"{ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]:.0f}"
        for share in (0.5, 0.99, 1.0)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=50)
    parser.add_argument("--churn-backups", type=int, default=30)
    parser.add_argument("--restore-every", type=int, default=10)
    parser.add_argument("--base", type=int, default=0, help="points that lie there before")
    parser.add_argument("--only", choices=tuple(MODES))
    parser.add_argument("--replicas", type=int, action="append", choices=(1, 2))
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no backup after these")
    parser.add_argument("--qdrant", choices=("real", "standin", "auto"), default="auto")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    return run_bench(run(options), lambda: rows_of(read_lines(options.out)))


if __name__ == "__main__":
    sys.exit(main())
