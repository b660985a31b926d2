"""Measures the cut: skew and phase times of many backups on three peers, idle and under load.

Usage: python -m bench.skew [--backups N] [--writers N] [--qdrant real|standin|auto] [--json FILE]
Each backup follows a change of 1 % of the points, so that every shard is streamed. `skew` is the
manifest's upper bound on one clock; phases are from the leader's log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.concurrency import until_signal
from cleancut_devcluster.demo.data import Data, Shape
from cleancut_devcluster.demo.phase_times import read_phases
from cleancut_devcluster.demo.writers import wait_written, writing
from cleancut_devcluster.launch.setup import Setup, launch_setup

SKEW = "skew"
CHANGED_SHARE = 0.01


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises: the error of a failed backup."""
    shape = Shape(points=options.points, dims=options.dims)
    async with (
        launch_setup(peers=3, coordinators=1, qdrant=options.qdrant) as setup,
        Data(setup.peers[0].url, shape) as data,
    ):
        await data.create()
        await data.load()
        await data.wait_optimized()
        await one_backup(setup)
        samples: dict[str, list[int]] = {}
        consistencies: dict[str, int] = {}
        async with load_of(data, options.writers):
            for number in range(options.backups):
                await data.change(CHANGED_SHARE)
                evidence, times = await one_backup(setup)
                found = evidence["consistency"]
                consistencies[found] = consistencies.get(found, 0) + 1
                for name, took_ms in {SKEW: evidence["skew_ms"], **times}.items():
                    samples.setdefault(name, []).append(took_ms)
                print(f"backup {number + 1}: skew {evidence['skew_ms']} ms", file=sys.stderr)
        return {
            "qdrant": setup.qdrant,
            "backups": options.backups,
            "writers": options.writers,
            "points": shape.points,
            "dims": shape.dims,
            "shards": shape.shards,
            "consistencies": consistencies,
            "ms": {name: summary(values) for name, values in samples.items()},
        }


@asynccontextmanager
async def load_of(data: Data, writers: int) -> AsyncIterator[None]:
    """Writers at work for the length of the block, if any are wanted."""
    if not writers:
        yield
        return
    async with writing(data, writers) as chains:
        await wait_written(chains, 5)
        yield


async def one_backup(setup: Setup) -> tuple[dict[str, Any], dict[str, int]]:
    """The evidence of a backup, and how long its phases took."""
    told = (await setup.cleancut("backup", "create")).value("backup")
    logs = [one.child.log for one in setup.coordinators]
    evidence: dict[str, Any] = told["evidence"]
    return evidence, read_phases(logs, told["epoch"])


def summary(values: Sequence[int]) -> dict[str, Any]:
    """p50, p99 and the raw values; with few of them p99 is close to the greatest."""
    ordered = sorted(values)
    cuts = quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else ordered * 99
    return {
        "p50": round(cuts[49]),
        "p99": round(cuts[98]),
        "max": ordered[-1],
        "values": list(values),
    }


def print_table(figures: dict[str, Any]) -> None:
    """For people."""
    title = (
        f"{figures['backups']} backups, 3 peers ({figures['qdrant']}), {figures['points']:,} points"
        f" of {figures['dims']} dimensions, {figures['writers']} writers"
    )
    table = Table(title=title, title_justify="left")
    for name in ("ms", "p50", "p99", "max"):
        table.add_column(name, justify="left" if name == "ms" else "right")
    for name, row in figures["ms"].items():
        table.add_row(name, *(str(row[column]) for column in ("p50", "p99", "max")))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table, f"consistencies: {figures['consistencies']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=20)
    parser.add_argument("--writers", type=int, default=0)
    parser.add_argument("--points", type=int, default=30_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--qdrant", choices=("real", "standin", "auto"), default="auto")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []

    async def work() -> None:
        found.append(await measure(options))

    try:
        asyncio.run(until_signal(work()))
    except CleancutError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if not found:
        return 130
    print_table(found[0])
    if options.json:
        options.json.write_text(json.dumps({"schema": 1, "skew": found[0]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
