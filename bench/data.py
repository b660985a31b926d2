"""A backup as data: time, CPU and memory of exports, diffs and searches, from a file store.

Usage: python -m bench.data DIRECTORY [--points N] [--shards N] [--dimension N] [--only W] [--live]
Two backups: the second one after 1 % of the points were upserted with new vectors. `--only`: the
runs whose names have this word. `--live`: a real Qdrant recovers the first one by its own API, and
is read by its scroll API as well (`bench.scroll`). Tars and backups are made once in DIRECTORY.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp

from bench.make_tars import make
from bench.measuring import MIB, cpu_s, measure, show
from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers
from tests.support.recorded_backups import DOCS, RecordedStore, made_info

RUNS = {
    "export jsonl, payloads": ["export", "1", "--format", "jsonl"],
    "export jsonl, vectors": ["export", "1", "--format", "jsonl", "--with-vectors"],
    "export parquet, vectors": ["export", "1", "--format", "parquet", "--with-vectors"],
    "export arrow, vectors": ["export", "1", "--format", "arrow", "--with-vectors"],
    "diff, 1 % changed": ["diff", "1", "2"],
    "query, exact": ["query", "1", "--vector"],
}
SCROLLS = {"scroll jsonl, vectors": "jsonl", "scroll parquet, vectors": "parquet"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--only", default="")
    parser.add_argument("--live", action="store_true")
    given = parser.parse_args()
    store, rows = _flags(given), []
    cleancut = [sys.executable, "-m", "cleancut.cli.main", *store, "backup"]
    for name, words in RUNS.items():
        if given.only in name:
            command = [*cleancut, *words]
            command += [str([1.0] * given.dimension)] if words[0] == "query" else []
            command += ["-c", DOCS, *(["--out", str(_out(given))] if words[0] == "export" else [])]
            rows.append(_row(given, name, command))
    if given.live:
        rows += _scrolled(given, cleancut)
    sys.stdout.write("\n")
    show(rows, list(rows[0]))


def _out(given: argparse.Namespace) -> Path:
    out: Path = given.directory / "out"
    out.unlink(missing_ok=True)
    return out


def _row(
    given: argparse.Namespace, name: str, command: list[str], server: int | None = None
) -> dict[str, Any]:
    """`server`: the process that answers, whose CPU counts as well."""
    before_s = 0.0 if server is None else cpu_s(server)
    run = measure(command, {"PYTHONPATH": str(Path.cwd())}, given.directory)
    out = given.directory / "out"
    row = {
        "run": name,
        "s": f"{run.took_s:.1f}",
        "cpu s": f"{run.cpu_s:.1f}",
        "server cpu s": "" if server is None else f"{cpu_s(server) - before_s:.1f}",
        "points/s": f"{given.points / run.took_s:,.0f}",
        "peak MiB": f"{run.tree_bytes / MIB:.0f}",
        "file MiB": f"{out.stat().st_size / MIB:.0f}" if out.exists() else "",
    }
    show([row], list(row))
    return row


def _scrolled(given: argparse.Namespace, cleancut: list[str]) -> list[dict[str, Any]]:
    snapshot = given.directory / "docs.snapshot"
    snapshot.unlink(missing_ok=True)
    words = ["extract", "1", "-c", DOCS, "--as-snapshot", "--out", str(snapshot)]
    subprocess.run([*cleancut, *words], check=True, stdout=subprocess.DEVNULL)
    with _server(given.directory / "server", snapshot) as peer:
        return [
            _row(
                given,
                name,
                [sys.executable, "-m", "bench.scroll", peer.url, DOCS, str(_out(given)), form],
                peer.pid,
            )
            for name, form in SCROLLS.items()
        ]


@contextmanager
def _server(directory: Path, snapshot: Path) -> Iterator[PeerProcess]:
    """A Qdrant of one node that has recovered `snapshot`; it is removed at the end."""

    async def upload(url: str, file: BinaryIO) -> None:
        form = aiohttp.FormData()
        form.add_field("snapshot", file, filename=snapshot.name)
        path = f"{url}/collections/{DOCS}/snapshots/upload?priority=snapshot"
        timeout = aiohttp.ClientTimeout(total=600)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(path, data=form) as answer,
        ):
            assert answer.status == 200, await answer.text()

    shutil.rmtree(directory, ignore_errors=True)
    peers = launch_peers(1, directory, "real", standalone=True)
    with asyncio.Runner() as runner:
        (peer,) = runner.run(peers.__aenter__())
        try:
            with snapshot.open("rb") as file:
                runner.run(upload(peer.url, file))
            yield peer
        finally:
            runner.run(peers.__aexit__(None, None, None))
            shutil.rmtree(directory, ignore_errors=True)
            snapshot.unlink()


def _flags(given: argparse.Namespace) -> list[str]:
    """Those that name the store."""
    tars, folder = given.directory / "tars", given.directory / "backups"
    made = folder / "made"
    if not made.exists():
        make(tars, given.points // given.shards, given.shards, given.dimension)
        shutil.rmtree(folder, ignore_errors=True)
        store = RecordedStore(folder)
        vectors = {"size": given.dimension, "distance": "Cosine"}
        info = made_info({"vectors": vectors, "shard_number": given.shards})
        for epoch, state in ((1, "t0"), (2, "t1")):
            files = {at: tars / state / f"shard{at}.tar" for at in range(given.shards)}
            store.publish(epoch, {at: file.read_bytes() for at, file in files.items()}, info)
        made.touch()
    return ["--store", f"file://{folder / 'store'}", "--cluster", "prod"]


if __name__ == "__main__":
    main()
