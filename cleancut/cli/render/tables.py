"""Values as tables for people. Layout may change at any time; scripts use `-o json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType

from cleancut.api.agent_settings import AgentSettings
from cleancut.api.backups import Backup, Evidence
from cleancut.api.cluster import ClusterStatus, Identity, OpenFence
from cleancut.api.drills import Drill
from cleancut.api.garbage import GarbageCollection
from cleancut.api.rebalances import Rebalance, RebalancePlan
from cleancut.api.restores import Restore, RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.verdicts import Verdict
from cleancut.cli.render.evidence_tables import consistency, drill, evidence, fence, shards, verdict
from cleancut.cli.render.gc_tables import gc
from cleancut.cli.render.grids import facts, grid, size, span, troubles
from cleancut.cli.render.rebalance_tables import rebalance, rebalance_list, rebalance_plan
from cleancut.cli.render.schedule_tables import schedule, schedule_list


def backup_list(backups: Sequence[Backup]) -> RenderableType:
    return grid(
        (
            "ID",
            "EPOCH",
            "STATE",
            "CUT AT",
            "CONSISTENCY",
            "SKEW",
            "PROTECTED",
            "NEW",
            "COLLECTIONS",
        ),
        (
            (
                b.id,
                b.epoch or None,
                b.state,
                b.cut_at,
                b.evidence.consistency if b.evidence else None,
                _skew(b),
                None if b.seed else size(b.bytes.protected),
                size(b.bytes.new),
                _some(b.collections),
            )
            for b in backups
        ),
    )


def backup(value: Backup) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("epoch", value.epoch or None),
            ("state", value.state),
            ("schedule", value.schedule or None),
            ("held as", ", ".join(value.holds) or None),
            ("created at", value.created_at),
            ("cut at", value.cut_at),
            ("ended at", value.ended_at),
            ("consistency", consistency(value.evidence) if value.evidence else None),
            ("skew", _skew(value)),
            ("fence", fence(value.evidence.fence) if value.evidence else None),
            ("sample queries", value.evidence.sample_queries if value.evidence else None),
            ("protected", None if value.seed else size(value.bytes.protected)),
            ("new", size(value.bytes.new)),
            ("stored", size(value.bytes.stored)),
            ("streams", f"{value.seed.streams} an agent" if value.seed else None),
            ("shards read", value.seed.shards or None if value.seed else None),
            ("read", size(value.seed.read) if value.seed and value.seed.read else None),
            ("collections", ", ".join(value.collections) or None),
            *troubles(value),
        )
    )
    if value.evidence is None or not value.evidence.shards:
        return head
    return Group(head, "", shards(value.evidence))


def restore_list(restores: Sequence[Restore]) -> RenderableType:
    return grid(
        ("ID", "BACKUP", "STATE", "CREATED AT", "ENDED AT", "COLLECTIONS"),
        (
            (
                r.id,
                r.backup_id,
                r.state,
                r.created_at,
                r.ended_at,
                _some(c.name for c in r.collections),
            )
            for r in restores
        ),
    )


def restore(value: Restore) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("backup", f"{value.backup_id} (epoch {value.backup_epoch})"),
            ("state", value.state),
            ("created at", value.created_at),
            ("ended at", value.ended_at),
            *troubles(value),
            *(
                (
                    "kept",
                    f"{k.collection}, the old data of {_some(k.aliases)}: drop it with"
                    f" `cleancut restore clean {value.id}`",
                )
                for k in value.kept
            ),
            ("rebalance", value.rebalance_id or None),
        )
    )
    return Group(head, "", _restored(value)) if value.collections else head


def _restored(value: Restore) -> RenderableType:
    """What was not compared is a dash; so is everything before there is a report."""
    compared = ("COUNTS", "SCHEMA", "KEYS", "QUERIES", "REPLICAS")
    return grid(
        ("COLLECTION", "PUBLISHED AS", "CREATED AS", "SHARDS", *compared, "STATUS"),
        (
            (
                c.name,
                c.published_as,
                None if c.created_as == c.published_as else c.created_as,
                c.shards,
                _equal(c.counts_equal),
                _equal(c.schema_equal),
                _equal(c.keys_equal),
                _equal(c.sample_queries_equal),
                c.status and ("active" if c.replicas_active else "not active"),
                c.status,
            )
            for c in value.collections
        ),
    )


def plan(value: RestorePlan) -> RenderableType:
    head = facts(
        (
            ("backup", f"{value.backup_id} (epoch {value.backup_epoch})"),
            ("Qdrant", f"{value.source_version or '?'} -> {value.target_version or '?'}"),
            ("to read", size(value.size_bytes)),
            ("estimated time", None if value.estimated_s is None else span(value.estimated_s)),
            ("digest", value.digest),
            *(("warning", text) for text in value.warnings),
            *(("blocker", text) for text in value.blockers),
        )
    )
    collections = grid(
        (
            "COLLECTION",
            "ACTION",
            "PUBLISHED AS",
            "CREATED AS",
            "EXISTS",
            "SHARDS",
            "REPLICAS",
            "SIZE",
        ),
        (
            (
                c.name,
                c.action,
                c.published_as,
                None if c.created_as == c.published_as else c.created_as,
                c.exists,
                c.shards,
                c.replicas,
                size(c.size_bytes),
            )
            for c in value.collections
        ),
    )
    peers = grid(
        ("PEER", "AGENT", "SHARDS AT MOST", "DISK AT MOST", "FREE"),
        (
            (
                p.peer_id,
                p.agent,
                p.shards_max,
                size(p.size_bytes_max),
                None if p.free_bytes is None else size(p.free_bytes),
            )
            for p in value.peers
        ),
    )
    return Group(head, "", collections, "", peers)


def cluster(value: ClusterStatus) -> RenderableType:
    opened, store = value.open_operation, value.store
    head = facts(
        (
            ("cluster", value.cluster),
            ("leader", value.leader or "none"),
            ("open operation", opened and f"{opened.kind} {opened.id} ({opened.phase})"),
            ("open fence", value.open_fence and _open_fence(value.open_fence)),
            ("store", store and f"{store.url} ({'answers' if store.reachable else 'away'})"),
            ("groups", store and store.groups),
            ("owner", value.identity and _owner(value.identity)),
            *(("warning", text) for text in value.warnings),
        )
    )
    coordinators = grid(
        ("COORDINATOR", "ADDRESS", "LEADER", "VERSION"),
        ((c.name, c.address, _yes(c.leader), c.version) for c in value.coordinators),
    )
    agents = grid(
        ("AGENT", "PEER", "QDRANT", "PHASE", "VERSION"),
        ((a.name, a.peer_id, a.qdrant_version, a.phase, a.version) for a in value.agents),
    )
    return Group(head, "", coordinators, "", agents)


def identity(value: Identity) -> RenderableType:
    return facts((("cluster id", value.cluster_id), ("owner", _owner(value))))


def settings(value: AgentSettings) -> RenderableType:
    rate = value.upload_bytes_per_s
    return facts(
        (
            ("upload rate", f"{size(rate)}/s" if rate else "no limit"),
            ("uploads", value.uploads),
            ("spill limit", size(value.spill_bytes or 0)),
            ("spill floor", size(value.spill_floor_bytes or 0)),
        )
    )


def _owner(value: Identity) -> str:
    return "this cluster" if value.equal else f"another: {value.store_cluster_id or 'nobody'}"


def _open_fence(value: OpenFence) -> str:
    names = ", ".join((*value.aliases, *value.collections))
    return f"{names} (epoch {value.epoch}, {value.budget_s:g} s at most)"


def _skew(value: Backup) -> str | None:
    known = value.evidence is not None and value.evidence.skew_ms is not None
    return f"{value.evidence.skew_ms} ms" if known and value.evidence else None


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else ("yes" if value else "no")


def _equal(value: bool | None) -> str | None:
    return None if value is None else ("equal" if value else "unequal")


def _some(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")


ONE: dict[type[Any], Callable[[Any], RenderableType]] = {
    Backup: backup,
    Restore: restore,
    RestorePlan: plan,
    Rebalance: rebalance,
    RebalancePlan: rebalance_plan,
    ClusterStatus: cluster,
    Identity: identity,
    Evidence: evidence,
    Verdict: verdict,
    Drill: drill,
    GarbageCollection: gc,
    Schedule: schedule,
    AgentSettings: settings,
}
MANY: dict[str, Callable[[Any], RenderableType]] = {
    "backups": backup_list,
    "restores": restore_list,
    "rebalances": rebalance_list,
    "schedules": schedule_list,
}
