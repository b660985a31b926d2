"""Tables of restores and of their plans."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from cleancut.api.restores import PlannedReshard, Restore, RestoredMoment, RestorePlan
from cleancut.api.state_words import state_of, step_of
from cleancut.cli.render.attempts import attempt_facts
from cleancut.cli.render.grids import Columns, facts, grid, size, some, span, troubles
from cleancut.cli.render.times import ago, clock, exact, moment, took
from cleancut.core.protocol.states import State


def restore_list(restores: Sequence[Restore]) -> RenderableType:
    if not restores:
        return Text("no restores: `cleancut restore plan latest` shows one")
    now_s = time.time()
    return Columns(
        ("ID", "BACKUP", "STATE", "AGE", "TOOK", "COLLECTIONS", "CREATED AT"),
        (
            (
                one.id,
                one.backup_epoch or one.backup_id,
                state_of(one),
                ago(one.created_at, now_s),
                took(one.created_at, one.ended_at),
                some(collection.name for collection in one.collections),
                clock(one.created_at),
            )
            for one in restores
        ),
        drop=("CREATED AT", "COLLECTIONS", "TOOK"),
        fold=("COLLECTIONS",),
    )


def restore(value: Restore) -> RenderableType:
    head = facts(
        (
            ("id", value.id),
            ("backup", _backup(value.backup_epoch, value.backup_id)),
            ("state", step_of(value)),
            ("created at", moment(value.created_at)),
            ("ended at", moment(value.ended_at)),
            *attempt_facts(value.attempt_history),
            *_moment(value.moment),
            *troubles(value),
            *(
                (
                    "kept",
                    f"{kept.collection}, the old data of {some(kept.aliases)}: drop it with"
                    f" `cleancut restore clean {value.id}`",
                )
                for kept in value.kept
            ),
            *_overwritten(value),
            ("reshards", some(value.reshard_ids) if value.reshard_ids else None),
            ("rebalance", value.rebalance_id or None),
        )
    )
    return Group(head, "", _restored(value)) if value.collections else head


def _overwritten(value: Restore) -> list[tuple[str, str]]:
    old = value.overwritten
    if old is None:
        return []
    what = f"backup {_backup(old.backup_epoch, old.backup_id)} of {old.collection}"
    if old.held_until is None:
        return [("old data", f"{what}{', not held' if old.backup_epoch else ''}")]
    end = f"; `cleancut restore finish {value.id}` ends that" if value.state is State.DONE else ""
    return [("old data", f"{what}, held until {moment(old.held_until)}{end}")]


def _moment(value: RestoredMoment | None) -> list[tuple[str, str | None]]:
    if value is None:
        return []
    skew = f", skew {value.skew_ms} ms" if value.skew_ms else ""
    left_out = [f"{one.shard_id}:{index}" for one in value.logs for index in one.left_out]
    return [
        (
            "moment",
            f"{exact(value.at_ms, value.at)}{f' (mark {value.mark})' if value.mark else ''}",
        ),
        ("consistency", f"{value.consistency}{skew}"),
        ("before the time asked", span(value.distance_ms / 1000) if value.distance_ms else None),
        (
            "to replay",
            f"{value.operations} operations, {size(value.log_bytes)}, about {span(value.replay_s)}",
        ),
        ("left out", some(left_out) if left_out else None),
    ]


def _backup(number: int, backup_id: str) -> str:
    if not number or not backup_id:
        return backup_id or str(number)
    return f"{number} ({backup_id})"


def _restored(value: Restore) -> RenderableType:
    """What was not compared is a dash; so is everything before there is a report."""
    compared = ("COUNTS", "SCHEMA", "KEYS", "QUERIES", "REPLICAS")
    names = ("COLLECTION", "PUBLISHED AS", "CREATED AS")
    return Columns(
        (*names, "SHARDS", *compared, "STATUS"),
        (
            (
                one.name,
                one.published_as,
                None if one.created_as == one.published_as else one.created_as,
                one.shards,
                _equal(one.counts_equal),
                _equal(one.schema_equal),
                _equal(one.keys_equal),
                _equal(one.sample_queries_equal),
                one.status and ("active" if one.replicas_active else "not active"),
                one.status,
            )
            for one in value.collections
        ),
        drop=("STATUS", "KEYS", "CREATED AS"),
        fold=names,
    )


def plan(value: RestorePlan) -> RenderableType:
    head = facts(
        (
            ("backup", _backup(value.backup_epoch, value.backup_id)),
            *_moment(value.moment),
            ("Qdrant", f"{value.source_version or '?'} -> {value.target_version or '?'}"),
            ("to read", size(value.size_bytes)),
            ("estimated time", _estimate(value)),
            ("digest", value.digest),
            *(_reshard(one) for one in value.reshards),
            *(("warning", text) for text in value.warnings),
            *(("blocker", text) for text in value.blockers),
        )
    )
    return Group(head, "", _planned(value), "", _peers(value))


def _estimate(value: RestorePlan) -> str | None:
    """A range, and what it rests on; of an older coordinator, one time."""
    range_ = value.estimate
    if range_ is None:
        return None if value.estimated_s is None else span(value.estimated_s)
    least, most = span(range_.least_s), span(range_.most_s)
    times = least if least == most else f"{least} to {most}"
    slowest, fastest = size(range_.slowest_bytes_per_s), size(range_.fastest_bytes_per_s)
    rates = slowest if slowest == fastest else f"{slowest} to {fastest}"
    restores = "restores" if range_.restores > 1 else "restore"
    return f"{times} (by {range_.restores} earlier {restores}: {rates}/s each peer)"


def _reshard(one: PlannedReshard) -> tuple[str, str]:
    key = "" if one.shard_key is None else f", key {one.shard_key}"
    what = f"{one.collection}{key} from {one.shards} to {one.wanted} shards"
    if one.way == "offline":
        scratch = f"{size(one.scratch_bytes)} of scratch"
        read = f"reads {size(one.size_bytes)}, {scratch}, about {span(one.estimated_s)}"
        return "first, offline", f"{what}: {read}"
    cost = f"{one.steps} steps, {size(one.size_bytes)}, about {span(one.estimated_s)}"
    return "then, reshard", f"{what}: {cost}"


def _planned(value: RestorePlan) -> RenderableType:
    names = ("COLLECTION", "PUBLISHED AS", "CREATED AS")
    return Columns(
        ("COLLECTION", "ACTION", *names[1:], "EXISTS", "SHARDS", "REPLICAS", "SIZE"),
        (
            (
                one.name,
                one.action,
                one.published_as,
                None if one.created_as == one.published_as else one.created_as,
                one.exists,
                one.shards,
                one.replicas,
                size(one.size_bytes),
            )
            for one in value.collections
        ),
        drop=("REPLICAS", "CREATED AS"),
        fold=names,
    )


def _peers(value: RestorePlan) -> RenderableType:
    return grid(
        ("AGENT", "PEER", "SHARDS AT MOST", "DISK AT MOST", "FREE"),
        (
            (
                one.agent,
                one.peer_id,
                one.shards_max,
                size(one.size_bytes_max),
                None if one.free_bytes is None else size(one.free_bytes),
            )
            for one in value.peers
        ),
    )


def _equal(value: bool | None) -> str | None:
    return None if value is None else ("equal" if value else "unequal")
