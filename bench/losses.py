"""Peers lost with their disks while clients write: what the archive of logs lacks afterwards.

Usage: python -m bench.losses [--losses N] [--chunk S] [--minutes M] [--seed N]
           [--qdrant real|standin|auto] --out FILE
Each loss has a set-up of its own: three peers, one collection with three shards of two replicas,
archived. A peer that some shard is followed at ends at a random moment, by SIGKILL together with
its agent, and its disk is wiped; clients write on. Each loss is a line of FILE; a run goes on where
an earlier one ended, and prints a table of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.measuring import run_bench
from bench.under_writes import read_lines, triple
from cleancut.core.archive.records import Chain
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName, ClusterName
from cleancut.core.wal.operations import decode_operation
from cleancut.repository.archive.reader import ArchiveIndex, read_chains
from cleancut.store.file import FileStore
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Setup, launch_setup

COLLECTION, SHARDS, WRITERS, PAUSE_S = "docs", 3, 4, 0.03
SETTINGS = """
[archive]
collections = ["{collection}"]
chunk = "{chunk:g}s"

[schedule.nightly]
cron = "30 2 * * *"
"""
WAIT_S, AGAIN_S, CALL_S, FOR_EVER_MS = 120.0, 0.1, 5.0, 10**14


@dataclass(slots=True)
class Line:
    """One loss. `lost`: operations acknowledged before it that the logs of surviving agents and
    what the lost one had stored lack; `lost_s`: how long before the loss the first of them was
    acknowledged. `in_no_chain`: operations acknowledged at any time that no chain holds, those of
    the new source among them. Seconds since the loss: `chain_s` until new chains follow all shards
    of the lost agent, `base_s` until each has a base again."""

    version: str
    chunk_s: float
    written: int
    shards: int
    lost: int
    lost_s: float
    in_no_chain: int
    chain_s: float
    base_s: float
    load: float


class Writers:
    """Clients that each upsert one new point after the other, through the peers that live."""

    def __init__(self, setup: Setup, rng: random.Random) -> None:
        self._setup, self._rng = setup, rng
        self.acknowledged_s: dict[int, float] = {}
        self.ended = False

    async def write(self, first: int) -> None:
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            point = first
            while not self.ended:
                if await self._sent(http, point):
                    self.acknowledged_s[point] = time.time()
                    await asyncio.sleep(self._rng.expovariate(1 / PAUSE_S))
                else:
                    await asyncio.sleep(AGAIN_S)
                point += WRITERS

    async def _sent(self, http: aiohttp.ClientSession, point: int) -> bool:
        peer = self._rng.choice([one for one in self._setup.peers if one.running])
        url = f"{peer.url}/collections/{COLLECTION}/points?wait=true"
        points = [{"id": point, "vector": [1, 2, 3, 4]}]
        with suppress(aiohttp.ClientError, TimeoutError):
            async with http.put(url, json={"points": points}) as answer:
                await answer.read()
                return answer.status == 200
        return False


@dataclass(slots=True)
class Site:
    setup: Setup
    chunk_s: float
    rng: random.Random

    async def measure(self) -> Line:
        """One loss. Raises: the error of what does not come about."""
        setup = self.setup
        await self._create()
        before = await self._chains_of(SHARDS)
        (await setup.cleancut("backup", "create", "-c", COLLECTION)).check()
        writers = Writers(setup, self.rng)
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(writers.write(number))
            await asyncio.sleep(self.rng.uniform(1.0, 3.0) * self.chunk_s)
            lost_agent = self.rng.choice(sorted({one.agent for one in before}))
            lost_at_s = await self._lose(lost_agent)
            lost = [one for one in before if one.agent == lost_agent]
            new = await self._new_chains(before, {one.shard for one in lost})
            chain_s = max(one.created_at_ms for one in new) / 1000 - lost_at_s
            await asyncio.sleep(2.0)
            writers.ended = True
        chains = {one.id for one in before}
        held = await self._settled(writers, lost_at_s, chains)
        acknowledged_s = writers.acknowledged_s
        missing = sorted(
            at_s
            for point, at_s in acknowledged_s.items()
            if at_s < lost_at_s and point not in held[0]
        )
        base_s = await self._based({one.id for one in new}) - lost_at_s
        async with setup.peers[0 if setup.peers[0].running else 1].client() as qdrant:
            version = f"{setup.qdrant} {await qdrant.version()}"
        return Line(
            version,
            self.chunk_s,
            sum(at_s < lost_at_s for at_s in acknowledged_s.values()),
            len(lost),
            len(missing),
            round(lost_at_s - missing[0], 2) if missing else 0.0,
            sum(point not in held[0] | held[1] for point in acknowledged_s),
            round(chain_s, 1),
            round(base_s, 1),
            round(os.getloadavg()[0], 1),
        )

    async def _create(self) -> None:
        body = {
            "vectors": {"size": 4, "distance": "Dot"},
            "shard_number": SHARDS,
            "replication_factor": 2,
        }
        url = f"{self.setup.peers[0].url}/collections/{COLLECTION}"
        async with aiohttp.ClientSession() as http, http.put(url, json=body) as answer:
            answer.raise_for_status()

    async def _lose(self, agent: AgentName) -> float:
        """When both were gone; the agent is that of the peer with its number."""
        at = next(n for n, one in enumerate(self.setup.agents) if one.name == agent)
        peer = self.setup.peers[at]
        async with asyncio.TaskGroup() as group:
            group.create_task(self.setup.agents[at].kill())
            group.create_task(peer.kill())
        lost_at_s = time.time()
        peer.wipe()
        return lost_at_s

    async def _read_chains(self) -> list[Chain]:
        return list((await read_chains(self._store, self._paths)).values())

    @property
    def _store(self) -> FileStore:
        return FileStore(Path(self.setup.store_url.removeprefix("file://")))

    @property
    def _paths(self) -> Paths:
        return Paths(ClusterName(self.setup.cluster))

    async def _chains_of(self, count: int) -> list[Chain]:
        async def found() -> list[Chain] | None:
            chains = await self._read_chains()
            return chains if len(chains) >= count else None

        return await wait_for(found, f"{count} chains", WAIT_S, 0.2)

    async def _new_chains(self, before: Sequence[Chain], shards: set[int]) -> list[Chain]:
        known = {one.id for one in before}

        async def found() -> list[Chain] | None:
            new = [one for one in await self._read_chains() if one.id not in known]
            return new if {one.shard for one in new} >= shards else None

        return await wait_for(found, "new chains", WAIT_S, 0.2)

    async def _settled(
        self, writers: Writers, lost_at_s: float, before: set[str]
    ) -> tuple[set[Any], set[Any]]:
        """The points in the chains of before and in the new ones, once the last second of writes is
        in one of them."""
        last_s = max(writers.acknowledged_s.values())
        newest = {p for p, at_s in writers.acknowledged_s.items() if at_s > last_s - 1.0}

        async def found() -> tuple[set[Any], set[Any]] | None:
            chains = {one.id for one in await self._read_chains()}
            index = await ArchiveIndex.load(
                self._store, self._paths, chains=chains, since_ms=0, until_ms=FOR_EVER_MS
            )
            old = await _points(index, chains & before)
            new = await _points(index, chains - before)
            return (old, new) if newest <= old | new else None

        return await wait_for(found, "the archive", WAIT_S, 0.5)

    async def _based(self, new: set[str]) -> float:
        """When each new chain had a base."""

        async def found() -> float | None:
            answer = await self.setup.cleancut("archive", "status")
            shards = answer.value("archive")["shards"]
            based = {one["chain"] for one in shards if one["base"]}
            return time.time() if new <= based else None

        return await wait_for(found, "new bases", WAIT_S, 0.5)


async def _points(index: ArchiveIndex, chains: set[str]) -> set[Any]:
    found: set[Any] = set()
    for chain in chains:
        for first, last in index.ranges(chain):
            async for entry in index.entries(chain, first, last):
                found.update(decode_operation(entry.data).ids)
    return found


async def run(options: argparse.Namespace) -> None:
    """Makes what is still missing in the file. Raises: the error of a set-up."""
    until_s = time.monotonic() + 60 * options.minutes
    done = sum(one["chunk_s"] == options.chunk for one in read_lines(options.out))
    for number in range(done, options.losses):
        if time.monotonic() > until_s:
            return
        rng = random.Random(f"{options.seed} {options.chunk} {number}")
        async with launch_setup(peers=3, coordinators=0, qdrant=options.qdrant) as setup:
            config = setup.base_dir / "coordinator.toml"
            config.write_text(SETTINGS.format(collection=COLLECTION, chunk=options.chunk))
            await setup.start_coordinator(config=config)
            await setup.wait_agents()
            line = await Site(setup, options.chunk, rng).measure()
        with options.out.open("a") as file:
            file.write(json.dumps(asdict(line)) + "\n")
        print(json.dumps(asdict(line)), file=sys.stderr)


def rows_of(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each version and length of chunks."""
    rows = []
    for key in sorted({(one["version"], one["chunk_s"]) for one in lines}):
        mine = [one for one in lines if (one["version"], one["chunk_s"]) == key]
        rows.append(
            {
                "Qdrant": key[0],
                "chunk s": key[1],
                "losses": len(mine),
                "shards": sum(one["shards"] for one in mine),
                "written": sum(one["written"] for one in mine),
                "lost p50/p99/max": triple([one["lost"] for one in mine]),
                "lost ms p50/p99/max": triple([1000 * one["lost_s"] for one in mine]),
                "in no chain": sum(one["in_no_chain"] for one in mine),
                "chain s p50/p99/max": triple([one["chain_s"] for one in mine]),
                "base s p50/p99/max": triple([one["base_s"] for one in mine]),
                "load": f"{min(o['load'] for o in mine):.0f}-{max(o['load'] for o in mine):.0f}",
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", type=int, default=20)
    parser.add_argument("--chunk", type=float, default=10.0, help="[archive] chunk, in seconds")
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no loss after these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--qdrant", choices=("real", "standin", "auto"), default="auto")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    return run_bench(run(options), lambda: rows_of(read_lines(options.out)))


if __name__ == "__main__":
    sys.exit(main())
