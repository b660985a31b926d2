"""Verification and drill of one group, from its store alone, without a coordinator.

The results, and which shards were read, are recorded in the store's verification log.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.api.drills import Drill, DrilledShard
from cleancut.api.verdicts import Verdict, find_problems, shown_verdict
from cleancut.core.format.manifest import AgentDocument, Manifest, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.store import Store
from cleancut.repository.catalog import find_group
from cleancut.repository.recipe_reader import load_recipe, missing_packs
from cleancut.repository.verification_log import CheckKind, VerificationRecord, last_read, put_check
from cleancut.verification.drill import check_space, drill
from cleancut.verification.reread import choose_shards, read_again
from cleancut.verification.shard_engine import check_engine

_RECORD_S = 30.0
"""Interval at which progress is recorded, so that an interrupted run resumes."""

Notice = Callable[[str], None]
"""Takes a line of progress, or a warning, for people."""


@dataclass(frozen=True, slots=True)
class ReadShare:
    """Share of a group's data to read: `percent` of its bytes. Bytes that were read within the last
    `within_s` count as read; 0: only this run's."""

    percent: int = 0
    within_s: float = 0.0


async def verify_group(
    store: Store, paths: Paths, name: str, reading: ReadShare, *, notice: Notice
) -> Verdict:
    """Verifies the group of that id or epoch, and reads a share of its data.

    Raises: NotFound; Corrupt for an invalid manifest, recipe or page.
    """
    manifest = await find_group(store, paths, name)
    published = hashlib.sha256(await store.get(paths.group(manifest.epoch))).hexdigest()
    decided = await store.stat(paths.staged(manifest.epoch, published)) is not None
    digests = sorted({shard.recipe for shard in manifest.shards})
    lacks = await missing_packs(store, paths, digests)
    recipes = await _recipes(store, paths, digests)
    documents = await _documents(store, paths, manifest.epoch)
    problems = find_problems(manifest, documents, recipes, decided=decided)
    named = {paths.pack(use.pack) for one in recipes.values() for use in one.packs}
    named |= {paths.page(ref.digest) for one in recipes.values() for ref in one.pages}
    missing = tuple(f"{lack.path}: {lack.why}, needed by {lack.needed_by}" for lack in lacks)
    found = _Read(0, (), ())
    if reading.percent and not missing:
        found = await _read(_Log(store, paths, manifest, notice), reading)
        missing = found.damage
    wrong = problems + missing
    await _Log(store, paths, manifest, notice).record(
        CheckKind.VERIFY, read=found.unrecorded, problems=wrong
    )
    verdict = shown_verdict(manifest, problems, missing, len(named) + len(digests))
    return replace(verdict, read_bytes=found.read_bytes)


class _Read(NamedTuple):
    """`unrecorded`: intact shards that the log does not hold yet."""

    read_bytes: int
    damage: tuple[str, ...]
    unrecorded: tuple[ShardEntry, ...]


async def _read(log: _Log, reading: ReadShare) -> _Read:
    """Reads the share, and records intact shards on the way, except for the last ones."""
    store, paths, manifest = log.store, log.paths, log.manifest
    since_s = time.time() - reading.within_s if reading.within_s else float("inf")
    known = await last_read(store, paths, manifest.epoch)
    chosen = choose_shards(
        manifest.shards, reading.percent, random.SystemRandom(), known, since_s=since_s
    )
    damage: list[str] = []
    right: list[ShardEntry] = []
    read_bytes, recorded_s = 0, time.monotonic()
    async with aclosing(read_again(store, paths, chosen)) as shards:  # type: ignore[type-var]
        async for shard, wrong in shards:
            read_bytes += shard.size_bytes
            damage += [wrong] if wrong else []
            right += [] if wrong else [shard]
            if time.monotonic() - recorded_s > _RECORD_S:
                await log.record(CheckKind.VERIFY, read=right)
                right, recorded_s = [], time.monotonic()
    return _Read(read_bytes, tuple(damage), tuple(right))


async def _recipes(store: Store, paths: Paths, digests: Sequence[str]) -> dict[str, Recipe]:
    """The existing ones, by digest."""
    found: dict[str, Recipe] = {}
    for digest in digests:
        with suppress(NotFound):
            found[digest] = await load_recipe(store, paths, digest)
    return found


async def _documents(store: Store, paths: Paths, epoch: Epoch) -> list[AgentDocument]:
    """The documents of an epoch's agents, without unreadable ones."""
    found = []
    async for info in store.list(paths.votes_documents(epoch)):
        with suppress(Corrupt):
            found.append(decode(AgentDocument, await store.get(info.path), info.path))
    return found


@dataclass(frozen=True, slots=True)
class Drilling:
    """Scope of a drill: `shards` random shards (0: all) of `collections` (empty: all), in a
    directory made in `scratch`."""

    shards: int = 0
    collections: tuple[str, ...] = ()
    scratch: Path | None = None


async def drill_group(
    store: Store, paths: Paths, name: str, wanted: Drilling, *, notice: Notice
) -> Drill:
    """Opens shards of the group of that id or epoch in this process, and queries them.

    Raises: NotFound; Refused, without the engine or without disk space.
    """
    check_engine()
    began_s = time.monotonic()
    manifest = await find_group(store, paths, name)
    chosen = _chosen(manifest, wanted)

    def report(shard: DrilledShard) -> None:
        notice(_line_of(shard))

    with _scratch(wanted.scratch) as made:
        scratch = Path(made)
        await asyncio.to_thread(check_space, chosen, scratch)
        found = await drill(store, paths, manifest, chosen, scratch=scratch, report=report)
    problems = [
        f"{one.collection}/{one.shard_id}: {text}" for one in found.shards for text in one.problems
    ]
    recalls = [one.recall for one in found.shards if one.recall is not None]
    result = Drill(
        id=manifest.operation,
        epoch=manifest.epoch,
        shards=found.shards,
        shards_in_backup=len(manifest.shards),
        read_bytes=sum(shard.size_bytes for shard in chosen),
        sample_queries=found.asked,
        sample_queries_equal=found.equal,
        recall=min(recalls, default=None),
        took_s=round(time.monotonic() - began_s, 3),
        problems=tuple(problems),
        damaged=found.damaged,
        warnings=found.other,
    )
    opened = {(one.collection, one.shard_id) for one in found.shards}
    read = [shard for shard in chosen if (shard.collection, shard.shard_id) in opened]
    wrong = result.problems + result.damaged
    log = _Log(store, paths, manifest, notice)
    await log.record(CheckKind.DRILL, read=read, problems=wrong, recall=result.recall)
    return result


def _chosen(manifest: Manifest, wanted: Drilling) -> list[ShardEntry]:
    for collection in wanted.collections:
        manifest.collection(collection)
    shards = [
        shard
        for shard in manifest.shards
        if not wanted.collections or shard.collection in wanted.collections
    ]
    if wanted.shards and wanted.shards < len(shards):
        shards = random.SystemRandom().sample(shards, wanted.shards)
    return sorted(shards, key=lambda shard: (shard.collection, shard.shard_id))


def _scratch(parent: Path | None) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="cleancut-drill-", dir=parent)
    except OSError as error:
        raise Refused(f"cannot use {parent}: {error.strerror}", "see --scratch") from error


def _line_of(shard: DrilledShard) -> str:
    recall = "" if shard.recall is None else f", recall {shard.recall:.3f}"
    return f"{shard.collection}/{shard.shard_id}: {shard.points} points{recall}"


@dataclass(frozen=True, slots=True)
class _Log:
    """The verification log of one group."""

    store: Store
    paths: Paths
    manifest: Manifest
    notice: Notice

    async def record(
        self,
        kind: CheckKind,
        *,
        read: Sequence[ShardEntry] = (),
        problems: tuple[str, ...] = (),
        recall: float | None = None,
    ) -> None:
        """Adds a record. A store that refuses the write causes a notice, not a failure."""
        check = VerificationRecord(
            kind=kind,
            epoch=self.manifest.epoch,
            at=format_time(time.time()),
            recipes=tuple(sorted({shard.recipe for shard in read})),
            read_bytes=sum(shard.size_bytes for shard in read),
            problems=problems,
            recall=-1.0 if recall is None else recall,
        )
        try:
            await put_check(self.store, self.paths, check)
        except CleancutError as error:
            self.notice(f"not recorded in the store's verification log: {error.message}")
