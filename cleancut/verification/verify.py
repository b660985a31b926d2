"""Verification and drill of one group, from its store alone, without a coordinator.

The results, and which shards were read, are recorded in the store's verification log.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from cleancut.api.checks import Drill, DrilledShard, Verdict
from cleancut.api.verdicts import find_problems, shown_verdict
from cleancut.core.format.manifest import AgentDocument, Manifest, ShardEntry, recipes_of
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.engine.shard import check_engine
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.catalog import find_group
from cleancut.repository.damaged_objects import damaged_objects, recipes_naming
from cleancut.repository.shards.recipe_reader import read_structure
from cleancut.repository.verification_log import last_read, put_check
from cleancut.verification.drill import check_space, drill
from cleancut.verification.reread import choose_shards, read_again

_RECORD_S = 30.0
"""Interval at which progress is recorded, so that an interrupted run resumes."""

Notice = Callable[[str], None]
"""Takes a line of progress, or a warning, for people."""


@dataclass(frozen=True, slots=True)
class ReadShare:
    """Share of a group's data to read: `percent` of its bytes. Bytes that were read within the last
    `within_s` count as read; 0: only this run's."""

    percent: int = 100
    within_s: float = 0.0


async def verify_group(
    store: Store, paths: Paths, name: str, reading: ReadShare, *, notice: Notice
) -> Verdict:
    """Verifies the group of that id or epoch, and reads a share of its data.

    Raises: NotFound; Corrupt for an invalid manifest; Refused, if it lies in an archive.
    """
    manifest = await find_group(store, paths, name)
    published = hashlib.sha256(await read_document(store, paths.group(manifest.epoch))).hexdigest()
    decided = await store.stat(paths.staged(manifest.epoch, published)) is not None
    digests = sorted(recipes_of(manifest))
    structure = await read_structure(store, paths, digests)
    recipes = structure.recipes
    documents = await _documents(store, paths, manifest.epoch)
    problems = find_problems(manifest, documents, recipes, decided=decided)
    named = {paths.pack(use.pack) for one in recipes.values() for use in one.packs}
    named |= {paths.page(ref.digest) for one in recipes.values() for ref in one.pages}
    lacking = {recipe for lack in structure.lacks for recipe in lack.recipes}
    missing = tuple(
        f"{lack.path}: {lack.why}, needed by {lack.needed_by}" for lack in structure.lacks
    )
    log = _Log(store, paths, manifest, notice)
    whole = [shard for shard in manifest.shards if shard.recipe not in lacking]
    found = await _read(log, whole, reading) if reading.percent else _Read(0, (), (), (), ())
    level = _level_of(reading)
    objects = {lack.name for lack in structure.lacks} | set(found.objects)
    await log.record(
        level,
        read=found.unrecorded,
        problems=problems + missing + found.damage,
        damaged=lacking | {shard.recipe for shard in found.damaged},
        objects=objects,
    )
    verdict = shown_verdict(manifest, problems, missing + found.damage, len(named) + len(digests))
    return replace(
        verdict,
        read_bytes=found.read_bytes,
        level=level,
        size_bytes=sum(shard.size_bytes for shard in manifest.shards),
    )


def _level_of(reading: ReadShare) -> Level:
    if not reading.percent:
        return Level.PRESENCE
    return Level.ALL if reading.percent == 100 else Level.PART


class _Read(NamedTuple):
    """`unrecorded`: intact shards that the log does not hold yet. `damaged` shards, `damage` in
    words, and the `objects` that it lies in."""

    read_bytes: int
    damage: tuple[str, ...]
    damaged: tuple[ShardEntry, ...]
    objects: tuple[str, ...]
    unrecorded: tuple[ShardEntry, ...]


async def _read(log: _Log, shards: Sequence[ShardEntry], reading: ReadShare) -> _Read:
    """Reads the share, and records intact shards on the way, except for the last ones."""
    store, paths, manifest = log.store, log.paths, log.manifest
    since_s = time.time() - reading.within_s if reading.within_s else float("inf")
    known = await last_read(store, paths, manifest.epoch)
    chosen = choose_shards(shards, reading.percent, random.SystemRandom(), known, since_s=since_s)
    damage: list[str] = []
    damaged: list[ShardEntry] = []
    objects: set[str] = set()
    right: list[ShardEntry] = []
    read_bytes, recorded_s = 0, time.monotonic()
    async with aclosing(read_again(store, paths, chosen)) as found:  # type: ignore[type-var]
        async for shard, wrong in found:
            read_bytes += shard.size_bytes
            if wrong:
                damage.append(wrong)
                damaged.append(shard)
                objects |= await damaged_objects(store, paths, shard.recipe)
            else:
                right.append(shard)
            if time.monotonic() - recorded_s > _RECORD_S:
                await log.record(Level.PART, read=right)
                right, recorded_s = [], time.monotonic()
    return _Read(read_bytes, tuple(damage), tuple(damaged), tuple(sorted(objects)), tuple(right))


async def _documents(store: Store, paths: Paths, epoch: Epoch) -> list[AgentDocument]:
    """The documents of an epoch's agents, without unreadable ones."""
    found = []
    async for info in store.list(paths.votes_documents(epoch)):
        with suppress(Corrupt):
            found.append(decode(AgentDocument, await read_document(store, info.path), info.path))
    return found


@dataclass(frozen=True, slots=True)
class Drilling:
    """Scope of a drill: `shards` random shards (0: all) of `collections` (empty: all), in a
    directory made in `scratch`."""

    shards: int = 0
    collections: tuple[str, ...] = ()
    scratch: Path | None = None


async def drill_group(
    store: Store, paths: Paths, name: str, drilling: Drilling, *, notice: Notice
) -> Drill:
    """Opens shards of the group of that id or epoch in this process, and queries them.

    Raises: NotFound; Refused, without the engine or without disk space.
    """
    check_engine()
    began_s = time.monotonic()
    manifest = await find_group(store, paths, name)
    chosen = _chosen(manifest, drilling)

    def report(shard: DrilledShard) -> None:
        notice(_line_of(shard))

    with _scratch(drilling.scratch) as made:
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
    wrong = {(one.collection, one.shard_id) for one in found.shards if one.problems}
    doubted = {one.recipe for one in read if (one.collection, one.shard_id) in wrong}
    damaged = {shard.recipe for shard in chosen if shard not in read}
    objects: set[str] = set()
    for recipe in sorted(damaged):
        objects |= await damaged_objects(store, paths, recipe)
    await _Log(store, paths, manifest, notice).record(
        Level.DRILL,
        read=read,
        problems=result.problems + result.damaged,
        damaged=damaged,
        doubted=doubted,
        objects=objects,
        recall=result.recall,
    )
    return result


def _chosen(manifest: Manifest, drilling: Drilling) -> list[ShardEntry]:
    names = manifest.named(drilling.collections)
    for collection in names:
        manifest.collection(collection)
    shards = [shard for shard in manifest.shards if not names or shard.collection in names]
    if drilling.shards and drilling.shards < len(shards):
        shards = random.SystemRandom().sample(shards, drilling.shards)
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
        level: Level,
        *,
        read: Sequence[ShardEntry] = (),
        problems: tuple[str, ...] = (),
        damaged: Set[str] = frozenset(),
        doubted: Set[str] = frozenset(),
        objects: Set[str] = frozenset(),
        recall: float | None = None,
    ) -> None:
        """Adds a record. A store that refuses the write causes a notice, not a failure."""
        shared = await self._sharing(objects, damaged)
        check = VerificationRecord(
            level=level,
            epoch=self.manifest.epoch,
            at=format_time(time.time()),
            recipes=tuple(sorted({shard.recipe for shard in read})),
            read_bytes=sum(shard.size_bytes for shard in read),
            problems=problems,
            damaged=tuple(sorted(damaged)),
            doubted=tuple(sorted(doubted)),
            objects=tuple(sorted(objects)),
            shared=tuple(sorted(shared)),
            recall=-1.0 if recall is None else recall,
        )
        try:
            await put_check(self.store, self.paths, check)
        except CleancutError as error:
            self.notice(f"not recorded in the store's verification log: {error.message}")

    async def _sharing(self, objects: Set[str], damaged: Set[str]) -> Set[str]:
        """Recipes of other backups that name what was found wrong."""
        try:
            return await recipes_naming(self.store, self.paths, objects, damaged)
        except CleancutError as error:
            self.notice(f"other backups that share what is damaged are unknown: {error.message}")
            return frozenset()
