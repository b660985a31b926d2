"""Search for torn backups: causal writers, many backups, every shard opened and its chains read.

Usage: python -m bench.causal [--backups N] [--only MODE] [--qdrant real|standin|auto] [--json FILE]
A writer sends a point only after its predecessor was acknowledged, so that a state of one instant
has no hole in any chain. Modes: `slow`, `fast` and `full` take what comes while writers pause for
40 ms, 8 ms or not at all between two points; `fenced` renames the writers' alias. Each with
replicas 1 and 2, and with and without a peer that is stopped for 0.3 s as soon as the cuts begin.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.skew import summary
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import Phase
from cleancut.etcd.client import open_etcd
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import until_signal
from cleancut_devcluster.demo.chains import read_chains
from cleancut_devcluster.demo.data import ALIAS, Data, Shape
from cleancut_devcluster.demo.phase_times import read_lifted_ms, read_phases, read_search
from cleancut_devcluster.demo.writers import Chain, find_holes, stall_ms, wait_written, writing
from cleancut_devcluster.launch.setup import Setup, launch_setup

FROZEN_S = 0.3
WRITERS = 4
CREATE_S = 300.0
MODES: dict[str, tuple[str, ...]] = {
    "slow": (),
    "fast": (),
    "full": (),
    "fenced": ("--fence", f"alias={ALIAS}", "--attempts", "3"),
}
PAUSE_S = {"slow": 0.04, "fast": 0.008, "full": 0.0, "fenced": 0.0}
"""Between two writes of a writer."""


@dataclass(slots=True)
class Row:
    """One mode: `torn` counts groups with a hole, `failed` operations without a group."""

    mode: str
    replicas: int
    frozen: bool
    groups: int = 0
    failed: int = 0
    attempts: int = 0
    torn: int = 0
    holes: int = 0
    consistencies: Counter[str] = field(default_factory=Counter)
    skew_ms: list[int] = field(default_factory=list)
    fence_ms: list[int] = field(default_factory=list)
    stall_ms: list[int] = field(default_factory=list)
    writes_s: list[int] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    waited_ms: list[int] = field(default_factory=list)
    phases: dict[str, list[int]] = field(default_factory=dict)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises: the error of a set-up that does not start."""
    rows, kind = [], ""
    for replicas in (1, 2):
        shape = Shape(points=options.points, dims=32, replicas=replicas, segments=2)
        async with (
            launch_setup(peers=3, coordinators=0, qdrant=options.qdrant) as setup,
            Data(setup.peers[0].url, shape) as data,
        ):
            kind = setup.qdrant
            config = setup.base_dir / "coordinator.toml"
            config.write_text(f"standstill-bound = {options.standstill_bound}\n")
            await setup.start_coordinator(config=config)
            await setup.wait_agents()
            await data.create()
            await data.load()
            for mode in MODES:
                for frozen in (False,) if options.still else (False, True):
                    if options.only in (None, mode):
                        row = Row(mode, replicas, frozen)
                        await measure_row(setup, shape, row, options.backups)
                        print(told(row), file=sys.stderr)
                        rows.append(row)
    return {"qdrant": kind, "backups": options.backups, "writers": WRITERS, "rows": rows}


async def measure_row(setup: Setup, shape: Shape, row: Row, backups: int) -> None:
    """Fills `row` from `backups` backups; the writers go by the alias, through one of the peers."""
    async with Data(setup.peers[0].url, shape, collection=ALIAS) as data:
        for number in range(backups):
            first = 100 * len(row.skew_ms) + number
            async with writing(
                data, WRITERS, patient=True, pause_s=PAUSE_S[row.mode], first=first * WRITERS
            ) as chains:
                await wait_written(chains, 2)
                before, began_s = written(chains), time.monotonic()
                async with freezing(setup, row.frozen):
                    words = ("backup", "create", *MODES[row.mode])
                    answer = await setup.cleancut(*words, timeout_s=CREATE_S)
                took_s = time.monotonic() - began_s
                row.writes_s.append(round((written(chains) - before) / took_s))
                await wait_written(chains, 1 + max(len(one.acknowledged_s) for one in chains))
            if answer.exit_code:
                row.failed += 1
                print(answer.err.splitlines()[-3:], file=sys.stderr)
                continue
            await judge(setup, row, answer.value("backup"), chains)


def written(chains: Iterable[Chain]) -> int:
    return sum(len(chain.acknowledged_s) for chain in chains)


async def judge(setup: Setup, row: Row, made: dict[str, Any], chains: list[Chain]) -> None:
    """Opens every shard of the group and counts."""
    evidence, epoch = made["evidence"], made["epoch"]
    shards = len(evidence["shards"])
    holes = find_holes(chains, await read_chains(setup, made["id"], shards), None)
    row.groups += 1
    row.attempts += made["attempt"]
    row.holes += holes.holes
    row.torn += holes.holes > 0
    row.consistencies["fenced" if evidence["fenced"] else evidence["consistency"]] += 1
    row.skew_ms.append(evidence["skew_ms"])
    row.stall_ms.append(stall_ms(chains))
    logs = [one.child.log for one in setup.coordinators]
    for phase, took_ms in read_phases(logs, epoch).items():
        row.phases.setdefault(phase, []).append(took_ms)
    search = read_search(logs, epoch)
    if search:
        row.rounds.append(search["rounds"])
        row.waited_ms.append(search["waited_ms"])
    lifted_ms = read_lifted_ms(logs, epoch)
    if lifted_ms is not None:
        row.fence_ms.append(lifted_ms)


@asynccontextmanager
async def freezing(setup: Setup, wanted: bool) -> AsyncIterator[None]:
    """For the length of the block, the last peer is stopped for a while when ctl comes to CUT."""
    if not wanted:
        yield
        return
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_freeze(setup))
        yield
        task.cancel()


async def _freeze(setup: Setup) -> None:
    key = Keys(ClusterName(setup.cluster)).ctl
    async with open_etcd([setup.etcd_endpoint], clock=SystemClock()) as etcd:
        listing = await etcd.list(key)
        async for changes in etcd.watch(key, listing.revision + 1):
            for change in changes:
                if decode(Ctl, change.kv.value, key).phase is Phase.CUT:
                    setup.peers[-1].freeze()
                    try:
                        await asyncio.sleep(FROZEN_S)
                    finally:
                        setup.peers[-1].thaw()


def told(row: Row) -> str:
    where = f"{row.mode} replicas={row.replicas} frozen={row.frozen}"
    counts = f"{row.groups} groups, {row.torn} torn, {row.holes} holes"
    return f"{where}: {counts}, {dict(row.consistencies)}"


def figures_of(row: Row) -> dict[str, Any]:
    """As JSON shows it; a summary of nothing is None."""

    def some(values: list[int]) -> dict[str, Any] | None:
        return summary(values) if values else None

    return {
        "mode": row.mode,
        "replicas": row.replicas,
        "frozen_peer": row.frozen,
        "groups": row.groups,
        "failed": row.failed,
        "attempts": row.attempts,
        "torn_groups": row.torn,
        "holes": row.holes,
        "consistencies": dict(row.consistencies),
        "writes_s": some(row.writes_s),
        "skew_ms": some(row.skew_ms),
        "fence_ms": some(row.fence_ms),
        "stall_ms": some(row.stall_ms),
        "rounds": some(row.rounds),
        "standstill_ms": some(row.waited_ms),
        "phases_ms": {phase: some(values) for phase, values in row.phases.items()},
    }


def print_table(found: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """For people."""
    title = (
        f"{found['backups']} backups a row, 3 peers ({found['qdrant']}), {WRITERS} causal writers"
    )
    table = Table(title=title, title_justify="left")
    head = ("mode", "replicas", "peer frozen", "groups", "torn", "holes", "consistencies")
    for name in (
        *head,
        "writes/s p50/p99",
        "rounds p50/p99",
        "standstill p50/p99",
        "skew p50/p99",
        "fence p50/p99",
        "stall p50/p99",
    ):
        table.add_column(name)

    def pair(figures: dict[str, Any] | None) -> str:
        return f"{figures['p50']}/{figures['p99']}" if figures else ""

    for row in rows:
        consistencies = ", ".join(f"{count} {name}" for name, count in row["consistencies"].items())
        failed = f"; {row['failed']} failed" if row["failed"] else ""
        table.add_row(
            row["mode"],
            str(row["replicas"]),
            "yes" if row["frozen_peer"] else "no",
            str(row["groups"]),
            str(row["torn_groups"]),
            str(row["holes"]),
            consistencies + failed,
            pair(row["writes_s"]),
            pair(row["rounds"]),
            pair(row["standstill_ms"]),
            *(pair(row[name]) for name in ("skew_ms", "fence_ms", "stall_ms")),
        )
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backups", type=int, default=20)
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--only", choices=tuple(MODES))
    parser.add_argument("--still", action="store_true", help="never stop a peer")
    parser.add_argument("--standstill-bound", type=float, default=5.0, help="of the coordinator")
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
    rows = [figures_of(row) for row in found[0]["rows"]]
    print_table(found[0], rows)
    if options.json:
        told = {"schema": 1, "causal": {**found[0], "rows": rows}}
        options.json.write_text(json.dumps(told, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
