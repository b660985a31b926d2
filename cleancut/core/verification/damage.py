"""Damage: what the checks of a store have found wrong, and which later checks clear it. Pure.

A check clears only what it has read itself: that all objects are present says nothing about bytes
that an earlier check found to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import StrEnum
from typing import NamedTuple

from cleancut import __version__
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.record_times import Time

VERIFY, DRILL = "verify", "drill"


class Level(StrEnum):
    """What a check has looked at: that objects are present, a part of the data, all of it, or
    shards opened and searched. In this order, a later one sees more."""

    PRESENCE = "presence"
    PART = "part"
    ALL = "all"
    DRILL = "drill"

    @property
    def kind(self) -> str:
        return DRILL if self is Level.DRILL else VERIFY

    @property
    def reads(self) -> bool:
        """Whether it reads data at all."""
        return self is not Level.PRESENCE


class VerificationRecord(Record, frozen=True):
    """One check, or, where it takes long, a part of it. `recipes`: of the shards whose bytes were
    read and were right. `damaged`: recipes of shards whose bytes were wrong or missing.
    `doubted`: recipes of shards that a drill found to hold or answer other than at their cut.
    `objects`: packs by name, pages by digest, that were wrong or missing. `shared`: recipes of
    other backups that name one of these. `problems`: for people; none: all was well. `recall`: of a
    drill, -1 if none was measured."""

    level: Level
    epoch: Epoch
    at: Time
    by: str = f"cleancut {__version__}"
    recipes: tuple[str, ...] = ()
    read_bytes: int = 0
    problems: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    recall: float = -1.0


class LogEntry(NamedTuple):
    """The contents of a log object's name. `path`: under the cluster's folder."""

    path: str
    epoch: Epoch
    at_s: float
    level: Level
    good: bool

    @property
    def kind(self) -> str:
        return self.level.kind


class Damage(NamedTuple):
    """What is known to be damaged now. `recipes`: of shards; `objects`: packs by name and pages by
    digest; `epochs`: backups whose manifest contradicts the store. `entries`: the log entries that
    this follows from. `shared`: recipes of other backups that name such an object; they count as
    damaged until they have been read."""

    recipes: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    epochs: frozenset[Epoch] = frozenset()
    entries: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()

    def affects(self, epoch: int, recipes: Iterable[str]) -> bool:
        """Whether a backup with these recipes is damaged."""
        return epoch in self.epochs or not (self.recipes | self.shared).isdisjoint(recipes)

    def of(self, manifest: Manifest) -> tuple[str, ...]:
        """What of a backup is damaged, for people; () for nothing that is known."""
        shards = [
            f"{shard.collection}/{shard.shard_id} is damaged"
            for shard in manifest.shards
            if shard.recipe in self.recipes
        ]
        shards += [
            f"{shard.collection}/{shard.shard_id} shares a damaged object with another backup:"
            " verify this one to see whether it needs the damaged part"
            for shard in manifest.shards
            if shard.recipe in self.shared - self.recipes
        ]
        contradicted = manifest.epoch in self.epochs
        whole = ["the store contradicts its manifest"] if contradicted else []
        return (*whole, *shards)


NO_DAMAGE = Damage()


class _Known(NamedTuple):
    """An entry that found damage, and the rest of what it found."""

    entry: LogEntry
    damaged: Set[str]
    doubted: Set[str]
    objects: Set[str]
    shared: Set[str]

    @property
    def outstanding(self) -> bool:
        return bool(self.damaged or self.doubted)


def outstanding(checks: Iterable[tuple[LogEntry, VerificationRecord | None]]) -> Damage:
    """What no later check has cleared; None stands for an entry that cannot be read.

    Bytes are cleared by a reading of the same recipe, in whichever backup; what a drill found, by a
    drill; a contradiction by a check of that backup that sees as much and finds none.
    """
    known: list[_Known] = []
    contradicted: dict[Epoch, LogEntry] = {}
    cleared_by: set[str] = set()
    for entry, record in sorted(checks, key=lambda one: (one[0].at_s, not one[0].good)):
        right = set(record.recipes) if record else set()
        doubted = set(record.doubted) if record else set()
        drilled = right - doubted if entry.level is Level.DRILL else set()
        rest = [
            one._replace(
                damaged=one.damaged - right,
                doubted=one.doubted - drilled,
                shared=one.shared - right,
            )
            for one in known
        ]
        before = contradicted.get(entry.epoch)
        if entry.good and before and _sees_as_much(entry.level, before.level):
            del contradicted[entry.epoch]
            cleared_by.add(entry.path)
        if rest != known:
            cleared_by.add(entry.path)
        known = [one for one in rest if one.outstanding]
        if entry.good:
            continue
        damaged = set(record.damaged) if record else set()
        if damaged or doubted:
            objects = set(record.objects) if record else set()
            shared = set(record.shared) if record else set()
            known.append(_Known(entry, damaged, doubted, objects, shared))
        elif before is None or not _sees_as_much(before.level, entry.level):
            contradicted[entry.epoch] = entry
    return Damage(
        recipes=frozenset(name for one in known for name in (*one.damaged, *one.doubted)),
        objects=frozenset(name for one in known if one.damaged for name in one.objects),
        shared=frozenset(name for one in known if one.damaged for name in one.shared),
        epochs=frozenset(contradicted),
        entries=frozenset(
            (
                *(one.entry.path for one in known),
                *(one.path for one in contradicted.values()),
                *cleared_by,
            )
        ),
    )


def _sees_as_much(now: Level, then: Level) -> bool:
    """Whether a check at `now` would find a contradiction that one at `then` has found."""
    if DRILL in {now.kind, then.kind}:
        return now is then
    order = tuple(Level)
    return order.index(now) >= order.index(then)
