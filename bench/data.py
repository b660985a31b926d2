"""A backup as data: time, CPU and memory of exports, diffs and searches, from a file store.

Usage: python -m bench.data DIRECTORY [--points N] [--shards N] [--dimension N]
Two backups: the second one after 1 % of the points were upserted with new vectors.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from bench.make_tars import make
from bench.measuring import MIB, measure, show
from tests.support.recorded_backups import DOCS, RecordedStore, made_info

RUNS = {
    "export jsonl, payloads": ["export", "1", "--format", "jsonl"],
    "export jsonl, vectors": ["export", "1", "--format", "jsonl", "--with-vectors"],
    "export parquet, vectors": ["export", "1", "--format", "parquet", "--with-vectors"],
    "export arrow, vectors": ["export", "1", "--format", "arrow", "--with-vectors"],
    "diff, 1 % changed": ["diff", "1", "2"],
    "query, exact": ["query", "1", "--vector"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--dimension", type=int, default=128)
    given = parser.parse_args()
    store = _stored(given)
    rows = []
    for name, words in RUNS.items():
        out = given.directory / "out"
        out.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cleancut.cli.main", *store.flags, "backup", *words]
        command += [str([1.0] * given.dimension)] if words[0] == "query" else []
        command += ["-c", DOCS, *(["--out", str(out)] if words[0] == "export" else [])]
        run = measure(command, {}, given.directory)
        rows.append(
            {
                "run": name,
                "s": f"{run.took_s:.1f}",
                "cpu s": f"{run.cpu_s:.1f}",
                "points/s": f"{given.points / run.took_s:,.0f}",
                "peak MiB": f"{run.tree_bytes / MIB:.0f}",
                "file MiB": f"{out.stat().st_size / MIB:.0f}" if out.exists() else "",
            }
        )
        show(rows[-1:], list(rows[0]))
    sys.stdout.write("\n")
    show(rows, list(rows[0]))


def _stored(given: argparse.Namespace) -> RecordedStore:
    tars = given.directory / "tars"
    make(tars, given.points // given.shards, given.shards, given.dimension)
    shutil.rmtree(given.directory / "backups", ignore_errors=True)
    store = RecordedStore(given.directory / "backups")
    vectors = {"size": given.dimension, "distance": "Cosine"}
    info = made_info({"vectors": vectors, "shard_number": given.shards})
    for epoch, state in ((1, "t0"), (2, "t1")):
        files = {at: tars / state / f"shard{at}.tar" for at in range(given.shards)}
        shards = {at: file.read_bytes() for at, file in files.items()}
        store.publish(epoch, shards, info)
    return store


if __name__ == "__main__":
    main()
