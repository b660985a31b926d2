"""Archive of logs and replay: bytes written and stored, CPU of following, speed of a restore.

Usage: python -m bench.replay [--only CASE] [--operations N] [--qdrant real|standin|auto]
One peer, one shard, archived. After a backup of the empty collection a client writes operations of
one point each, a hundred in a request; then the collection is restored from that backup, as it was
and rolled forward to a mark behind all of them. `replay` is the difference in RECOVER.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.measuring import cpu_s, run_bench, show
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Setup, launch_setup

COLLECTION, BATCH, WAIT_S, CALL_S, MB, GB = "docs", 100, 120.0, 300.0, 1e6, 1e9
SETTINGS = f"""
[archive]
collections = ["{COLLECTION}"]
chunk = "1s"
mark-every = "1s"
"""


@dataclass(frozen=True, slots=True)
class Case:
    """Upserts of one vector of `dims` each, with `text` bytes of payload."""

    operations: int
    dims: int
    text: int


CASES = {
    "small": Case(operations=130_000, dims=4, text=20),
    "64 dims": Case(operations=130_000, dims=64, text=20),
    "768 dims": Case(operations=20_000, dims=768, text=1000),
}


@dataclass(slots=True)
class Site:
    setup: Setup
    case: Case

    async def measure(self, name: str) -> dict[str, Any]:
        """Raises: the error of a command that fails."""
        await self._create()
        await self._followed()
        (await self.setup.cleancut("backup", "create", "-c", COLLECTION)).check()
        (agent,) = self.setup.agents
        before_cpu_s, began_s = cpu_s(agent.pid), time.monotonic()
        await self._write()
        wrote_s = time.monotonic() - began_s
        words = ("mark", "all", "--timeout", "60s")
        (await self.setup.cleancut(*words, timeout_s=CALL_S)).check()
        used_s = cpu_s(agent.pid) - before_cpu_s
        archive = (await self.setup.cleancut("archive", "status")).value("archive")
        plain_s, _ = await self._restore()
        rolled_s, moment = await self._restore("--to", "all")
        raw, replay_s = moment["log_bytes"], rolled_s - plain_s
        return {
            "case": name,
            "operations": moment["operations"],
            "written MB": f"{raw / MB:.0f}",
            "writes/s": f"{self.case.operations / wrote_s:.0f}",
            "stored": f"{archive['stored_bytes'] / max(1, archive['raw_bytes']):.2f}",
            "agent CPU s/GB": f"{used_s / (raw / GB):.1f}",
            "recover s": f"{plain_s:.1f}",
            "with replay s": f"{rolled_s:.1f}",
            "operations/s": f"{moment['operations'] / replay_s:.0f}",
            "MB/s": f"{raw / MB / replay_s:.1f}",
            "load": f"{os.getloadavg()[0]:.0f}",
        }

    async def _create(self) -> None:
        body = {
            "vectors": {"size": self.case.dims, "distance": "Dot"},
            "optimizers_config": {"indexing_threshold": 0},
        }
        url = f"{self.setup.peers[0].url}/collections/{COLLECTION}"
        async with aiohttp.ClientSession() as http, http.put(url, json=body) as answer:
            answer.raise_for_status()

    async def _followed(self) -> None:
        async def found() -> bool | None:
            shown = (await self.setup.cleancut("archive", "status")).value("archive")["shards"]
            return any(one["chain"] for one in shown) or None

        await wait_for(found, "the archive", WAIT_S, 0.5)

    async def _write(self) -> None:
        rng, case = random.Random(1), self.case
        url = f"{self.setup.peers[0].url}/collections/{COLLECTION}/points/batch?wait=true"
        head = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession() as http:
            for first in range(0, case.operations, BATCH):
                points = [
                    {
                        "id": first + at,
                        "vector": [rng.random() for _ in range(case.dims)],
                        "payload": {"text": rng.randbytes(case.text // 2).hex()},
                    }
                    for at in range(BATCH)
                ]
                body = json.dumps({"operations": [{"upsert": {"points": [p]}} for p in points]})
                async with http.post(url, data=body, headers=head) as answer:
                    answer.raise_for_status()

    async def _restore(self, *target: str) -> tuple[float, dict[str, Any]]:
        """How long RECOVER took, and the moment; the collection is dropped again. Without a target
        it is that of the backup."""
        name = "rolled" if target else "plain"
        words = ("restore", "start", "latest", "--rename", f"{COLLECTION}={name}", "--yes", *target)
        answer = await self.setup.cleancut(*words, "-c", COLLECTION, timeout_s=CALL_S)
        done = answer.value("restore")
        shown = (await self.setup.cleancut("restore", "show", done["id"])).value("restore")
        phases = {
            one["phase"]: one["duration_ms"] / 1000
            for attempt in shown["attempt_history"]
            for one in attempt["phases"]
        }
        url = f"{self.setup.peers[0].url}/collections/{name}"
        async with aiohttp.ClientSession() as http, http.delete(url) as dropped:
            dropped.raise_for_status()
        return phases["RECOVER"], done["moment"] or {}


async def run(options: argparse.Namespace) -> None:
    """Prints a row for each case. Raises: the error of a set-up."""
    rows = []
    for name in [options.only] if options.only else CASES:
        case = CASES[name]
        if options.operations:
            case = Case(options.operations, case.dims, case.text)
        async with launch_setup(peers=1, coordinators=0, qdrant=options.qdrant) as setup:
            config = setup.base_dir / "coordinator.toml"
            config.write_text(SETTINGS)
            await setup.start_coordinator(config=config)
            await setup.wait_agents()
            rows.append(await Site(setup, case).measure(name))
    show(rows, list(rows[0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(CASES))
    parser.add_argument("--operations", type=int, default=0)
    parser.add_argument("--qdrant", choices=("real", "standin", "auto"), default="auto")
    return run_bench(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
