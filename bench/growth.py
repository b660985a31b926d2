"""How time and memory of a backup grow with the number of shards and with bytes; plotted.

Usage: python -m bench.growth [--shards 1,10,100] [--gb 0.1,1,4] [--rounds 3] [--svg FILE]
Full backups to a SeaweedFS, of tars whose segments are half random bytes and half text: what is
measured is growth, not speed. Each run is a process of its own (`bench.capture_once`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from bench.chart import chart
from bench.measuring import MIB, measure
from bench.store import BUCKET, environment
from cleancut.engine.tar_format import TarEntry, tar_chunks
from tests.support.s3_server import S3Server

GB = 1_000_000_000
FILE_BYTES = 4 * MIB
TEXT = b"a word and another word, and so on until the end of the line\n" * 1024


def make(directory: Path, shards: int, total_bytes: int) -> None:
    """Tars of a shard each, together about `total_bytes`."""
    for number in range(shards):
        generator = np.random.default_rng(number)
        target = directory / f"shard{number:03d}.tar"
        with target.open("wb") as file:
            for chunk in tar_chunks(_members(generator, total_bytes // shards)):
                file.write(chunk)


def _members(generator: np.random.Generator, size_bytes: int) -> Iterator[TarEntry]:
    left, number = size_bytes, 0
    while left > 0:
        size = min(left, FILE_BYTES)
        half = size // 2
        data = generator.bytes(half) + (TEXT * (size // len(TEXT) + 1))[: size - half]
        yield TarEntry(f"segments/s/files/{number:05d}", data=data)
        left, number = left - size, number + 1
    yield TarEntry("segments/s/files/version.info", data=b"{}")
    yield TarEntry("wal/")
    yield TarEntry("replica_state.json", data=b"{}")
    yield TarEntry("shard_config.json", data=b"{}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", default="1,10,100")
    parser.add_argument("--gb", default="0.1,1,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for shards in map(int, arguments.shards.split(",")):
        for gb in map(float, arguments.gb.split(",")):
            took_s, peak_mib = run(shards, int(gb * GB), arguments.rounds)
            print(f"{shards:4d} shards  {gb:4.1f} GB  {took_s:7.2f} s  peak {peak_mib:4.0f} MiB")
            lines.setdefault(f"{shards} shards", []).append((gb, took_s, peak_mib))
    if arguments.svg:
        times = {name: [(gb, took_s) for gb, took_s, _ in line] for name, line in lines.items()}
        peaks = {name: [(gb, peak) for gb, _, peak in line] for name, line in lines.items()}
        arguments.svg.write_text(chart([("seconds", times), ("peak MiB", peaks)], "GB of tars"))


def run(shards: int, total_bytes: int, rounds: int) -> tuple[float, float]:
    """Medians of seconds and MiB."""
    took_s, peaks = [], []
    with (
        tempfile.TemporaryDirectory(prefix="growth-") as scratch,
        S3Server(volume_mb=1024) as server,
    ):
        work = Path(scratch)
        tars = work / "tars"
        tars.mkdir()
        make(tars, shards, total_bytes)
        server.make_bucket(BUCKET)
        for number in range(rounds):
            result = work / f"{number}.json"
            url = server.url(BUCKET, f"r{number}")
            command = [sys.executable, "-m", "bench.capture_once", url, str(tars), str(result)]
            done = measure(command, environment(server), work)
            took_s.append(float(json.loads(result.read_text())["took_s"]))
            peaks.append(done.peak_bytes / MIB)
    return median(took_s), median(peaks)


if __name__ == "__main__":
    main()
