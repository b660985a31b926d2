"""Measures how long a Qdrant peer takes to recover shards from the tars that an agent serves out of
a store, against the same tars from a plain HTTP server.

Usage: python -m bench.restore [--tars DIRECTORY] [--rounds N] [--json FILE]
Each round runs all sources one after the other, in turning order; ratios are taken within a round.
The peer is a real Qdrant (QDRANT_BIN, or qdrant on PATH) if there is one, else the stand-in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench.make_tars import DIMENSION
from bench.measuring import MIB, measure, peak_of, show
from bench.store import BUCKET, environment
from cleancut.core.restore.phases import AT_ONCE, recover_bound_s
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.concurrency import run_all
from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers, real_binary, wait_until
from tests.support.s3_server import S3Server

PLAIN = "plain files"
STATES = {"t0": "full", "t1": "1 % changed"}
COLLECTION = "bench"
Tasks = dict[str, dict[str, Any]]
READ_BYTES = 1024 * 1024
READ_S = 60.0
HEAD = ["backup", "what", "source", "min_s", "median_s", "max_s", "mb_s", "times_plain",
        "times_plain_range", "cpu_s", "s3_cpu_s", "peak_mib", "first_byte_ms"]  # fmt: skip


@dataclass(frozen=True)
class Source:
    """How the tars of one state are served: arguments of `bench.serve_tars`. `hashed`: Qdrant is
    given their sha256."""

    name: str
    arguments: list[str]
    hashed: bool = True


@dataclass
class Run:
    """All tars once. CPU and memory are the serving process's; `s3_cpu_s` is SeaweedFS', which
    shares the machine."""

    took_s: float
    cpu_s: float = 0.0
    s3_cpu_s: float = 0.0
    peak_bytes: int = 0
    first_byte_s: float = 0.0


Runs = dict[tuple[str, str, str], list[Run]]
"""By state, what was done, and source."""


@contextmanager
def serving(source: Source, env: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """A process that serves `source`: its pid, and the URLs of the tars by name."""
    command = [sys.executable, "-m", "bench.serve_tars", *source.arguments]
    process = subprocess.Popen(
        command, env=os.environ | env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process.pid, json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        if process.wait(60):
            raise AssertionError(f"{command} ended with {process.returncode}")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_all(urls: dict[str, str], tasks: Tasks) -> Run:
    """Reads all at once and throws it away. Raises: AssertionError, if it is not all there."""
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(_read, urls.values()))
    took_s = time.perf_counter() - started
    assert [size for _, size in found] == [tasks[name]["size_bytes"] for name in urls]
    return Run(took_s, first_byte_s=max(at for at, _ in found) - started)


def _read(url: str) -> tuple[float, int]:
    """When the body's first byte came, and how many came."""
    where = urlsplit(url)
    buffer = memoryview(bytearray(READ_BYTES))
    with socket.create_connection((where.hostname, where.port), READ_S) as sock:
        sock.sendall(f"GET {where.path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = sock.recv(1024)
        while b"\r\n\r\n" not in head[:-4]:  # until the body's first byte is there
            more = sock.recv(1024)
            assert more, f"{url} ended early"
            head += more
        first_at = time.perf_counter()
        head, _, body = head.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], head
        fields = dict(line.lower().split(b": ") for line in head.splitlines()[1:])
        size, got = int(fields[b"content-length"]), len(body)
        while got < size and (count := sock.recv_into(buffer)):
            got += count
    return first_at, got


async def recover_all(peer: PeerProcess, urls: dict[str, str], tasks: Tasks) -> Run:
    """Into a new collection, which is dropped afterwards."""
    config = {
        "vectors": {"size": DIMENSION, "distance": "Cosine"},
        "shard_number": len(urls),
        "optimizers_config": {"max_optimization_threads": 0},  # nothing runs on after a recovery
    }
    async with peer.client() as qdrant:
        await qdrant.create_collection(COLLECTION, config)
        await wait_until(partial(_placed, qdrant, len(urls)), 30, "all shards are active")
        calls = [
            partial(
                qdrant.recover_shard,
                COLLECTION,
                shard,
                location=urls[name],
                sha256=tasks[name]["tar_sha256"],
                timeout_s=recover_bound_s(tasks[name]["size_bytes"]),
            )
            for shard, name in enumerate(urls)
        ]
        started = time.perf_counter()
        await run_all(calls, AT_ONCE)
        took_s = time.perf_counter() - started
        assert all([await qdrant.count(COLLECTION, shard) for shard in range(len(urls))])
        await qdrant.delete_collection(COLLECTION)
    return Run(took_s)


def without_sha256(tasks: Tasks) -> Tasks:
    return {name: {**task, "tar_sha256": ""} for name, task in tasks.items()}


async def _placed(qdrant: Qdrant, shards: int) -> bool:
    replicas = (await qdrant.placement(COLLECTION)).shards
    return [replica.state for replica in replicas] == ["Active"] * shards


@contextmanager
def peer_running(directory: Path) -> Iterator[tuple[asyncio.Runner, PeerProcess]]:
    """A real Qdrant if there is one, else the stand-in, and the loop that it lives on."""
    with asyncio.Runner() as runner:
        peers = launch_peers(1, directory, "real" if real_binary() else "standin")
        peer = runner.run(peers.__aenter__())[0]
        try:
            yield runner, peer
        finally:
            runner.run(peers.__aexit__(None, None, None))


def store_all(stores: dict[str, str], tars: Path, work: Path, env: dict[str, str]) -> None:
    """Backs both states up to each store, the second as a child of the first."""
    for name, url in stores.items():
        parents: list[str] = []
        for state in STATES:
            result = str(work / f"{name}-{state}")
            command = [sys.executable, "-m", "bench.capture_once", url]
            measure([*command, str((tars / state).resolve()), result, *parents], env, work)
            parents = [result]
            tasks = json.loads(Path(result).read_text())["tasks"]
            tasks_file(work, name, state).write_text(json.dumps(tasks))


def tasks_file(work: Path, store: str, state: str) -> Path:
    return work / f"{store}-{state}.tasks"


def bench(tars: Path, rounds: int, *, recover: bool) -> Runs:
    runs: Runs = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=tars.parent) as scratch,
        S3Server(volume_mb=1024) as server,
        peer_running(Path(scratch).resolve() / "peers") as (runner, peer),
    ):
        work, env = Path(scratch).resolve(), environment(server)
        server.make_bucket(BUCKET)
        stores = {"SeaweedFS": server.url(BUCKET, "tars"), "directory": f"file://{work}/store"}
        store_all(stores, tars, work, env)
        for turn in range(rounds):
            for state in STATES:
                tasks = json.loads(tasks_file(work, "directory", state).read_text())
                found = [Source(PLAIN, ["files", str(tars / state)])]
                for name, url in stores.items():
                    found.append(Source(name, ["store", url, str(tasks_file(work, name, state))]))
                bare = replace(found[-1], name=f"{found[-1].name}, no sha256", hashed=False)
                found.append(bare)
                first = turn % len(found)
                for source in found[first:] + found[:first]:
                    its = runs[state, "serve", source.name]
                    with measured(source, env, server.pid, its) as urls:
                        its.append(read_all(urls, tasks))
                    if not recover:
                        continue
                    its = runs[state, "recover", source.name]
                    with measured(source, env, server.pid, its) as urls:
                        given = tasks if source.hashed else without_sha256(tasks)
                        its.append(runner.run(recover_all(peer, urls, given)))
    return runs


@contextmanager
def measured(
    source: Source, env: dict[str, str], s3_pid: int, runs: list[Run]
) -> Iterator[dict[str, str]]:
    """Serves inside the block, and adds CPU and memory to the run that was appended to `runs`."""
    with serving(source, env) as (pid, urls):
        before_s, s3_before_s = cpu_s(pid), cpu_s(s3_pid)
        yield urls
        runs[-1].cpu_s, runs[-1].s3_cpu_s = cpu_s(pid) - before_s, cpu_s(s3_pid) - s3_before_s
        runs[-1].peak_bytes = peak_of(pid)


def table(runs: Runs, tar_bytes: int) -> list[dict[str, Any]]:
    rows = []
    for (state, what, name), its in sorted(runs.items(), key=lambda item: item[0][:2]):
        plain = runs[state, what, PLAIN]
        ratios = [own.took_s / other.took_s for own, other in zip(its, plain, strict=True)]
        took = [run.took_s for run in its]
        first_ms = round(median(run.first_byte_s for run in its) * 1000)
        rows.append({
            "backup": STATES[state],
            "what": what,
            "source": name,
            "min_s": round(min(took), 2),
            "median_s": round(median(took), 2),
            "max_s": round(max(took), 2),
            "mb_s": round(tar_bytes / 1e6 / median(took)),
            "times_plain": round(median(ratios), 2),
            "times_plain_range": [round(min(ratios), 2), round(max(ratios), 2)],
            "cpu_s": round(median(run.cpu_s for run in its), 2),
            "s3_cpu_s": round(median(run.s3_cpu_s for run in its), 2),
            "peak_mib": round(max(run.peak_bytes for run in its) / MIB),
            "first_byte_ms": first_ms if what == "serve" else None,
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tars", type=Path, default=Path("bench/out/tars"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=112_000)
    parser.add_argument("--serve-only", action="store_true", help="without a peer")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    make = [sys.executable, "-m", "bench.make_tars", str(arguments.tars), str(arguments.points)]
    subprocess.run(make, check=True, timeout=3600)
    tar_bytes = sum(tar.stat().st_size for tar in (arguments.tars / "t0").glob("*.tar"))
    peer = str(real_binary() or "the stand-in")
    print(f"3 shards, {tar_bytes / 1e6:.0f} MB of tars, recovered by {peer}")
    runs = bench(arguments.tars.resolve(), arguments.rounds, recover=not arguments.serve_only)
    rows = table(runs, tar_bytes)
    show(rows, HEAD)
    if arguments.json:
        arguments.json.write_text(json.dumps({"peer": peer, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
