"""Tables of backups: lists, evidence, verification, drills and garbage collection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cleancut.api.backups import (
    Backup,
    BackupBytes,
    Evidence,
    FenceEvidence,
    ShardEvidence,
)
from cleancut.api.checks import Drill, Verdict
from cleancut.api.garbage import GarbageCollection
from cleancut.api.state_words import state_of, step_of
from cleancut.cli.render.attempts import attempt_facts
from cleancut.cli.render.grids import Columns, facts, grid, size, some, troubles
from cleancut.cli.render.times import ago, clock, moment
from cleancut.core.protocol.states import IN_CATALOG
from cleancut.core.verification.damage import DRILL, VERIFY, Level

LIST_TITLES = (
    *("BACKUP", "STATE", "AGE", "SIZE", "ADDED", "SCHEDULE", "CONSISTENCY", "COLLECTIONS"),
    *("TAKEN AT", "LABELS", "ID"),
)
LIST_DROPPED = (
    "ID",
    "LABELS",
    "TAKEN AT",
    "COLLECTIONS",
    "CONSISTENCY",
    "SCHEDULE",
    "ADDED",
    "SIZE",
)
"""Columns that a narrow terminal leaves out, the first to go first."""
MOST_COLLECTIONS = 20
_LEVELS = {"presence": "objects are present", "part": "part of the data", "all": "all data"}
MOST_SHARDS = 24
"""More are shown by `--evidence` only: the verdict on top stays in sight."""


def backup_list(backups: Sequence[Backup]) -> RenderableType:
    """What one types, and what one chooses by, first; see docs/reference/status.md."""
    if not backups:
        return Text("no backups: `cleancut backup create` makes one, a schedule makes them for you")
    now_s = time.time()
    return Columns(
        LIST_TITLES,
        (
            (
                one.epoch or one.id,
                state_of(one),
                ago(one.cut_at or one.ended_at or one.created_at, now_s),
                None if one.seed else size(one.bytes.protected),
                f"+{size(one.bytes.stored)}" if one.cut_at and not one.seed else None,
                one.schedule,
                one.evidence.consistency if one.evidence else None,
                some(one.collections),
                clock(one.cut_at),
                labels(one),
                one.id,
            )
            for one in backups
        ),
        drop=LIST_DROPPED,
        fold=("COLLECTIONS", "LABELS"),
    )


def labels(value: Backup) -> str:
    """Its labels by key, as they are written on the command line."""
    return ", ".join(f"{key}={text}" for key, text in sorted(value.labels.items()))


def backup(value: Backup) -> RenderableType:
    seed, evidence = value.seed, value.evidence
    head = facts(
        (
            ("backup", value.epoch or None),
            ("id", value.id),
            ("state", step_of(value)),
            ("schedule", value.schedule or None),
            ("asked by", value.asked_by or None),
            ("labels", labels(value) or None),
            ("held for", "; ".join(value.holds) or None),
            ("kept by", value.kept_by or None),
            ("keep until", moment(value.keep_until)),
            ("created at", moment(value.created_at)),
            ("taken at", moment(value.cut_at)),
            ("ended at", moment(value.ended_at)),
            *attempt_facts(value.attempt_history),
            *(_consistency(evidence) if evidence else ()),
            *(("audit", text) for text in (_audit(evidence.shards) if evidence else ())),
            ("sample queries", evidence.sample_queries if evidence else None),
            ("size", None if seed else size(value.bytes.protected)),
            ("read", _read(value.bytes) if value.bytes.protected else None),
            ("changed", size(value.bytes.new)),
            ("added", size(value.bytes.stored)),
            ("a deletion frees", None if value.freed_bytes is None else size(value.freed_bytes)),
            ("streams", f"{seed.streams} per agent" if seed else None),
            ("shards read", seed.shards or None if seed else None),
            ("read", size(seed.read) if seed and seed.read else None),
            ("collections", ", ".join(value.collections) or None),
            *_checked(value),
            *(("damage", text) for text in value.damage),
            *troubles(value),
        )
    )
    parts = [head, *_by_collection(value)]
    if evidence is None or not evidence.shards:
        return Group(*parts)
    rest = len(evidence.shards) - MOST_SHARDS
    if rest <= 0:
        return Group(*parts, "", _shards(evidence.shards))
    doubtful = sorted(evidence.shards, key=lambda one: not one.doubt)
    name = value.epoch or value.id
    more = f"and {rest} more shards: `cleancut backup show {name} --evidence` lists all"
    return Group(*parts, "", _shards(doubtful[:MOST_SHARDS]), more)


def _checked(value: Backup) -> Iterator[tuple[str, str]]:
    """The newest verification and the newest drill; only of what is in the catalog."""
    if value.state not in IN_CATALOG or value.evidence is None:
        return
    for kind, title in ((VERIFY, "verified"), (DRILL, "drilled")):
        found = next((one for one in value.checks if one.kind == kind), None)
        if found is None:
            yield title, "never"
            continue
        share = f" ({_LEVELS[found.level]})" if found.level in _LEVELS else ""
        yield (
            title,
            f"{moment(found.at)}{share}: {'ok' if found.good else 'found damage or a difference'}",
        )


def _by_collection(value: Backup) -> Iterator[RenderableType]:
    if len(value.collection_bytes) < 2:
        return
    shown = sorted(value.collection_bytes, key=lambda one: -one.protected)[:MOST_COLLECTIONS]
    yield ""
    yield grid(
        ("COLLECTION", "SHARDS", "SIZE", "CHANGED", "ADDED"),
        (
            (one.name, one.shards, size(one.protected), size(one.new), size(one.stored))
            for one in shown
        ),
        fold=("COLLECTION",),
    )
    rest = len(value.collection_bytes) - len(shown)
    if rest:
        yield f"and {rest} smaller collections: -o json lists all"


def evidence(value: Evidence) -> RenderableType:
    return Group(facts(_evidence_facts(value)), "", _shards(value.shards))


def _read(value: BackupBytes) -> str:
    """Where what is protected came from."""
    kept = value.protected - value.streamed - value.disk
    parts = (("from Qdrant", value.streamed), ("from disk", value.disk), ("unchanged", kept))
    return ", ".join(f"{size(bytes_)} {source}" for source, bytes_ in parts if bytes_ > 0)


def _audit(shards: Sequence[ShardEvidence]) -> Iterator[str]:
    """How many captures from the disk were compared with streams, and which were not."""
    audited = [shard for shard in shards if shard.audit is not None]
    if audited:
        same = sum(not shard.audit for shard in audited)
        yield f"{same} of {len(audited)} shards compared with Qdrant's streams: equal"
    for shard in audited:
        if shard.audit:
            yield f"{shard.collection}/{shard.shard_id} was not compared: {shard.audit}"


def _shards(shards: Sequence[ShardEvidence]) -> RenderableType:
    return grid(
        ("COLLECTION", "SHARD", "AGENT", "OPS BEFORE", "OPS AFTER", "UNCHANGED", "POINTS"),
        (
            (
                shard.collection,
                shard.shard_id,
                shard.agent or shard.peer_id,
                shard.ops_before,
                shard.ops_after,
                _proven(shard),
                shard.points,
            )
            for shard in shards
        ),
        fold=("COLLECTION", "UNCHANGED"),
    )


def _proven(shard: ShardEvidence) -> str:
    if shard.doubt:
        return shard.doubt
    return "yes" if shard.rolled_to is None else f"rolled forward to {shard.rolled_to}"


def _evidence_facts(value: Evidence) -> list[tuple[str, Any]]:
    undrained = sorted({shard.collection for shard in value.shards if not shard.drained})
    return [
        *_consistency(value),
        ("fence seen by", value.fence and (", ".join(value.fence.seen_by) or None)),
        ("paused by hook", value.fence and (", ".join(value.fence.hooked) or None)),
        ("not drained", ", ".join(undrained) or None),
        ("sample queries", value.sample_queries),
    ]


def _consistency(value: Evidence) -> list[tuple[str, Any]]:
    fenced = ", fenced" if value.fenced else ""
    return [
        ("consistency", f"{value.consistency}{fenced}"),
        ("skew", None if value.skew_ms is None else f"at most {value.skew_ms} ms"),
        ("fence", value.fence and _fence(value.fence)),
    ]


def _fence(value: FenceEvidence) -> str:
    held = "" if value.held_ms is None else f", {value.held_ms} ms"
    return f"{', '.join((*value.aliases, *value.hooked))}{held}"


def verdict(value: Verdict) -> RenderableType:
    head = facts(
        (
            ("backup", value.epoch),
            ("id", value.id),
            *_evidence_facts(value.evidence),
            ("shards", value.shards),
            ("objects", value.objects),
            ("data read", f"{size(value.read_bytes)} of {size(value.size_bytes)}"),
            *(("problem", text) for text in value.problems),
            *(("damaged", text) for text in value.missing),
            ("verdict", value.word),
            ("not read", _unread(value)),
        )
    )
    doubts = [shard for shard in value.evidence.shards if shard.doubt]
    return Group(head, "", _shards(doubts)) if doubts else head


def _unread(value: Verdict) -> str | None:
    left = value.size_bytes - value.read_bytes
    if left <= 0 or value.level == Level.ALL:
        return None
    return f"{size(left)}: `backup verify` without --quick and --read-data reads all"


def drill(value: Drill) -> RenderableType:
    wrong = value.problems + value.damaged
    head = facts(
        (
            ("backup", value.epoch),
            ("id", value.id),
            ("shards", f"{len(value.shards)} of {value.shards_in_backup}"),
            ("data read", size(value.read_bytes)),
            ("sample queries", f"{value.sample_queries_equal} of {value.sample_queries} equal"),
            ("least recall", value.recall),
            ("took", f"{value.took_s:.1f} s"),
            *(("warning", text) for text in value.warnings),
            *(("problem", text) for text in value.problems),
            *(("damaged", text) for text in value.damaged),
            ("verdict", "failed" if wrong else "ok: opens, and answers as it did"),
        )
    )
    differing = sorted(value.shards, key=lambda one: not one.problems)
    shown = differing[:MOST_SHARDS]
    rows = (
        (one.collection, one.shard_id, size(one.size_bytes), one.points, one.expected, one.recall)
        for one in shown
    )
    titles = ("COLLECTION", "SHARD", "SIZE", "POINTS", "EXPECTED", "RECALL")
    table = grid(titles, rows, fold=("COLLECTION",))
    rest = len(value.shards) - len(shown)
    more = [f"and {rest} more shards without a problem: -o json lists all"] if rest else []
    return Group(head, "", table, *more)


def gc(value: GarbageCollection) -> RenderableType:
    would = "would be " if value.dry_run else ""
    head = facts(
        (
            (f"backups {would}deleted", len(value.expired)),
            (f"objects {would}deleted", _objects(value.deleted_objects, value.deleted_bytes)),
            ("objects marked for deletion", _objects(value.marked_objects, value.marked_bytes)),
            ("waits", value.waits or None),
        )
    )
    action = "would expire" if value.dry_run else "expired"
    rows = [(one.epoch, action, one.why) for one in value.expired]
    rows += [(one.epoch, "kept", one.why) for one in value.kept]
    if not rows:
        return head
    return Group(head, "", grid(("BACKUP", "ACTION", "WHY"), sorted(rows), fold=("WHY",)))


def _objects(number: int, size_bytes: int) -> str:
    return f"{number} ({size(size_bytes)})"
