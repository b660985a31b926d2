"""Tables of evidence: what proves a backup's consistency, and what a look at a group found."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from cleancut.api.backups import Evidence, FenceEvidence
from cleancut.api.drills import Drill
from cleancut.api.verdicts import Verdict
from cleancut.cli.render.grids import facts, grid, size


def shards(value: Evidence) -> RenderableType:
    return grid(
        ("COLLECTION", "SHARD", "PEER", "OPS BEFORE", "OPS AFTER", "UNCHANGED", "POINTS"),
        (
            (
                shard.collection,
                shard.shard_id,
                shard.peer_id,
                shard.ops_before,
                shard.ops_after,
                shard.doubt or "yes",
                shard.points,
            )
            for shard in value.shards
        ),
    )


def _evidence_facts(value: Evidence) -> list[tuple[str, Any]]:
    undrained = sorted({shard.collection for shard in value.shards if not shard.drained})
    return [
        ("consistency", consistency(value)),
        ("skew", None if value.skew_ms is None else f"{value.skew_ms} ms at most"),
        ("fence", fence(value.fence)),
        ("seen by", value.fence and ", ".join(value.fence.seen_by)),
        ("not drained", ", ".join(undrained) or None),
        ("sample queries", value.sample_queries),
    ]


def evidence(value: Evidence) -> RenderableType:
    return Group(facts(_evidence_facts(value)), "", shards(value))


def drill(value: Drill) -> RenderableType:
    wrong = value.problems + value.damaged
    head = facts(
        (
            ("id", value.id),
            ("epoch", value.epoch),
            ("shards", f"{len(value.shards)} of {value.shards_in_group}"),
            ("data read", size(value.read_bytes)),
            ("sample queries", f"{value.sample_queries_equal} of {value.sample_queries} equal"),
            ("least recall", value.recall),
            ("took", f"{value.took_s:.1f} s"),
            *(("warning", text) for text in value.warnings),
            *(("problem", text) for text in value.problems),
            *(("damaged", text) for text in value.damaged),
            ("verdict", "wrong" if wrong else "it opens and answers as it did"),
        )
    )
    rows = (
        (one.collection, one.shard_id, size(one.size_bytes), one.points, one.expected, one.recall)
        for one in value.shards
    )
    titles = ("COLLECTION", "SHARD", "SIZE", "POINTS", "AT ITS CUT", "RECALL")
    return Group(head, "", grid(titles, rows))


def verdict(value: Verdict) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("epoch", value.epoch),
            *_evidence_facts(value.evidence),
            ("shards", value.shards),
            ("objects", value.objects),
            ("data read", size(value.read_bytes) if value.read_bytes else None),
            *(("problem", text) for text in value.problems),
            *(("missing", text) for text in value.missing),
            ("verdict", "as it was committed" if not value.problems + value.missing else "wrong"),
        )
    )
    doubts = [shard for shard in value.evidence.shards if shard.doubt]
    return Group(head, "", shards(value.evidence)) if doubts else head


def fence(value: FenceEvidence | None) -> str | None:
    if value is None:
        return None
    held = "" if value.held_ms is None else f", {value.held_ms} ms"
    return f"{', '.join((*value.aliases, *value.hooked))}{held}"


def consistency(value: Evidence) -> str:
    return f"{value.consistency}, fenced" if value.fenced else value.consistency
