"""Measures the barrier alone: phases, skew and etcd transactions with up to a thousand agents.

Usage: python -m bench.barrier [--agents 3,10,100,1000] [--epochs N] [--fence] [--json FILE]
Machines, drivers, sessions, the coordinator's effects and the etcd of three members are the real
ones. Agents are tasks of one process; their Qdrant answers at once and their shards need no bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from cleancut_devcluster.demo.phase_times import read_lifted_ms, read_phases
from tests.support.etcd_cluster import EtcdCluster

PHASES = ("PREPARE", "FENCE", "CUT", "SEAL", "UPLOAD", "COMMIT")
STOP_S = 60.0
POLL_S = 0.05


def measure(agents: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one number of agents; the first epoch is not counted: all is cold in it."""
    root = Path(tempfile.mkdtemp(prefix="barrier-", dir="/dev/shm"))
    try:
        with EtcdCluster(3) as members:
            asked = {
                "agents": agents,
                "epochs": options.epochs + 1,
                "fence": options.fence,
                "etcd": members.endpoints,
                "root": str(root),
            }
            (root / "asked.json").write_text(json.dumps(asked))
            told, cuts = run_roles(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return figures_of(agents, told, cuts)


def run_roles(root: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Reports of the coordinator for each epoch, and actions of the agents."""
    crew = start(root, "agents")
    try:
        leader = start(root, "coordinator")
        try:
            wait_done(root, leader, crew)
        finally:
            leader.kill()
            leader.wait()
    finally:
        crew.send_signal(signal.SIGTERM)
        crew.wait(STOP_S)
    log = root / "coordinator.log"
    told = [json.loads(line) for line in (root / "epochs.jsonl").read_text().splitlines()]
    for one in told:
        one["phases"] = read_phases([log], one["epoch"])
        one["fence_ms"] = read_lifted_ms([log], one["epoch"])
    return told[1:], json.loads((root / "agents.json").read_text())


def wait_done(root: Path, leader: subprocess.Popen[bytes], crew: subprocess.Popen[bytes]) -> None:
    """Returns once all backups are made. Raises: SystemExit with its log, if a role fails."""
    while leader.poll() is None and crew.poll() is None:
        time.sleep(POLL_S)
    if leader.poll() != 0:
        failed = "agents" if leader.poll() is None else "coordinator"
        raise SystemExit((root / f"{failed}.log").read_text()[-2000:])


def start(root: Path, role: str) -> subprocess.Popen[bytes]:
    with (root / f"{role}.log").open("wb") as log:
        argv = [sys.executable, "-m", "bench.barrier_roles", role, str(root)]
        return subprocess.Popen(argv, stdout=log, stderr=log)


def figures_of(agents: int, told: list[dict[str, Any]], crew: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds, lists in the order of epochs."""
    phases = {
        name: [one["phases"][name] for one in told if name in one["phases"]] for name in PHASES
    }
    before = ("PREPARE", "FENCE")
    to_cut = [sum(one["phases"].get(n, 0) for n in before) + one["skew_ms"] for one in told]
    cuts = [crew["cuts"][str(one["epoch"])] for one in told]
    votes = [crew["txns"].get(str(one["epoch"]), 0) for one in told]
    return {
        "agents": agents,
        "phases_ms": {name: values for name, values in phases.items() if values},
        "prepare_to_cuts_ms": to_cut,
        "skew_ms": [one["skew_ms"] for one in told],
        "cut_order_ms": [round((max(times) - min(times)) * 1000) for times in cuts],
        "fence_ms": [one["fence_ms"] for one in told if one["fence_ms"] is not None],
        "votes": votes,
        "coordinator_txns": [one["txns"] for one in told],
        "txns": [sum(one["txns"].values()) + n for one, n in zip(told, votes, strict=True)],
        "coordinator_cpu_s": [one["cpu_s"] for one in told],
        "agents_cpu_s": crew["cpu_s"] / (len(told) + 1),
    }


def print_table(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """For people: p50 and the least."""
    fence = "with" if options.fence else "without"
    title = f"{options.epochs} epochs {fence} a fence, 3 etcd members; ms, p50 (least)"
    table = Table(title=title, title_justify="left")
    shown = [name for name in PHASES if name in rows[0]["phases_ms"]]
    for name in ("agents", *shown, "PREPARE to all cuts", "skew", "cut order", "fence", "txns"):
        table.add_column(name, justify="right")
    for name in ("CPU leader", "CPU agents"):
        table.add_column(name, justify="right")

    def pair(values: list[float]) -> str:
        return f"{median(values):.0f} ({min(values):.0f})" if values else ""

    for row in rows:
        table.add_row(
            str(row["agents"]),
            *(pair(row["phases_ms"][name]) for name in shown),
            *(pair(row[name]) for name in ("prepare_to_cuts_ms", "skew_ms", "cut_order_ms")),
            pair(row["fence_ms"]),
            f"{median(row['txns']):.0f}",
            f"{median(row['coordinator_cpu_s']):.2f} s",
            f"{row['agents_cpu_s']:.2f} s",
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", default="3,10,100,1000")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--fence", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = [measure(int(number), options) for number in options.agents.split(",")]
    print_table(rows, options)
    if options.json:
        options.json.write_text(json.dumps({"schema": 1, "barrier": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
