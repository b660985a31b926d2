"""Drills: shards of a group are put together from the store, opened in this process, and asked.

Shards of a collection whose recorded answers are to be compared stay on disk together; all others
go one by one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from cleancut.api.checks import DrilledShard
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.protocol.documents import Canary
from cleancut.core.verification.canaries import LIMIT, askable, tolerance_of
from cleancut.core.verification.drill import answers_again, recall_of, wrong_indexes
from cleancut.engine.shard import EngineShard, opened
from cleancut.ports.store import Store
from cleancut.repository.shards.captured_tar import read_captured

SAMPLES = 20
"""Points of each vector and shard whose neighbours are looked for."""


class Drilled(NamedTuple):
    """What was found. `equal`: of the canaries that could be `asked`."""

    shards: tuple[DrilledShard, ...]
    damaged: tuple[str, ...]
    asked: int
    equal: int
    other: tuple[str, ...]


def check_space(shards: Sequence[ShardEntry], scratch: Path) -> None:
    """Raises: Refused, where `scratch` cannot hold what is there at one time."""
    held = 0
    for _, group in groupby(shards, key=lambda shard: shard.collection):
        sizes = [shard.size_bytes for shard in group]
        held = max(held, sum(sizes) + max(sizes))
    free = shutil.disk_usage(scratch).free
    if free < held:
        raise Refused(
            f"the drill needs {held:,} bytes in {scratch}, {free:,} are free",
            "name another directory with --scratch, or drill fewer shards with --shards",
        )


async def drill(
    store: Store,
    paths: Paths,
    manifest: Manifest,
    shards: Sequence[ShardEntry],
    *,
    scratch: Path,
    report: Callable[[DrilledShard], None],
) -> Drilled:
    """Opens `shards`, sorted by collection, in the empty directory `scratch`; reports each one."""
    drilled: list[DrilledShard] = []
    damaged: list[str] = []
    other: list[str] = []
    asked = equal = 0
    for name, group in groupby(shards, key=lambda shard: shard.collection):
        chosen = list(group)
        whole = len(chosen) == len(manifest.shards_of(name))
        canaries = [
            one
            for one in manifest.canaries
            if one.collection == name and whole and one.target is not None
        ]
        with ExitStack() as stack:
            open_ones: list[tuple[ShardEntry, EngineShard]] = []
            for shard in chosen:
                label = f"{shard.collection}/{shard.shard_id}"
                directory = scratch / f"{len(drilled) + len(damaged)}"
                try:
                    await _write_tar(store, paths, shard, directory.with_suffix(".tar"))
                    stack.callback(shutil.rmtree, directory, ignore_errors=True)
                    one = stack.enter_context(opened(directory.with_suffix(".tar"), directory))
                    drilled.append(_examine(one, shard, manifest))
                except Corrupt as error:
                    damaged.append(f"{label}: {error.message}")
                    continue
                report(drilled[-1])
                open_ones.append((shard, one))
                if not canaries:
                    stack.close()
            if canaries and len(open_ones) == len(chosen):
                info = manifest.collection(name).info
                wrong = [
                    one
                    for one in canaries
                    if not _given_again(one, open_ones, tolerance_of(info, one.vector))
                ]
                asked, equal = asked + len(canaries), equal + len(canaries) - len(wrong)
                other += [f"{name}: {_named(one)} has other neighbours now" for one in wrong]
    return Drilled(tuple(drilled), tuple(damaged), asked, equal, tuple(other))


async def _write_tar(store: Store, paths: Paths, shard: ShardEntry, target: Path) -> None:
    try:
        with target.open("wb") as file:
            async with aclosing(read_captured(store, paths, shard)) as chunks:
                async for chunk in chunks:
                    file.write(chunk)
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror}", "see --scratch") from error


def _examine(opened_shard: EngineShard, shard: ShardEntry, manifest: Manifest) -> DrilledShard:
    info = manifest.collection(shard.collection).info
    points = opened_shard.count()
    problems = wrong_indexes(info, opened_shard.indexes())
    if shard.count is not None and points != shard.count:
        problems.insert(0, f"it holds {points} points, {shard.count} were counted at its cut")
    recalls = [
        recall_of(
            opened_shard.nearest(target, vector, LIMIT, exact=True),
            opened_shard.nearest(target, vector, LIMIT, exact=False),
        )
        for vector in askable(info)
        for target in opened_shard.sample(vector, SAMPLES)
    ]
    return DrilledShard(
        collection=shard.collection,
        shard_id=shard.shard_id,
        size_bytes=shard.size_bytes,
        points=points,
        expected=shard.count,
        recall=round(mean(recalls), 4) if recalls else None,
        problems=tuple(problems),
    )


def _given_again(
    canary: Canary, shards: Sequence[tuple[ShardEntry, EngineShard]], tolerance: float
) -> bool:
    answers = [
        one.nearest(one.target_of(canary.target), canary.vector, LIMIT, exact=True)
        for entry, one in shards
        if canary.shard_key is None or entry.shard_key == canary.shard_key
    ]
    return answers_again(canary, answers, tolerance)


def _named(canary: Canary) -> str:
    of = f" of vector {canary.vector!r}" if canary.vector else ""
    return f"point {canary.query}{of}"
