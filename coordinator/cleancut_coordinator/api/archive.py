"""Archive as the API shows it: what agents say in etcd, next to the plan and the backups."""

from __future__ import annotations

from cleancut.api.archive import Archive, ArchivedShard, ArchiveMark
from cleancut.core.archive.plan import ArchivePlan, ArchiveState, ArchiveTask
from cleancut.core.archive.records import Mark
from cleancut.core.format.paths import parse_mark_ms
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.timestamps import format_time
from cleancut.repository.archive_bases import BaseReader
from cleancut_coordinator.archive.planner import read_plan, read_states
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_sessions

MOST_TIMEOUT_S = 600.0
MAX_NAME = 100


async def read_archive(context: CoordinatorContext, bases: BaseReader) -> Archive:
    """Raises: what etcd and the store do."""
    plan, states = await read_plan(context), await read_states(context)
    living = set(await read_sessions(context))
    known: dict[str, int] = {base.chain: base.epoch for base in await bases.read()}
    now_ms = context.clock.wall_s() * 1000
    return Archive(
        collections=context.archive.collections,
        shards=tuple(
            _shard(task, states, known, now_ms, lives=task.agent in living) for task in plan.tasks
        ),
        last_mark=await _last_mark(context, plan),
        raw_bytes=sum(state.raw_bytes for state in states),
        stored_bytes=sum(state.stored_bytes for state in states),
    )


def _shard(
    task: ArchiveTask,
    states: list[ArchiveState],
    bases: dict[str, int],
    now_ms: float,
    *,
    lives: bool,
) -> ArchivedShard:
    state = next((one for one in states if one.agent == task.agent), None)
    found = next((one for one in state.shards if one.place == task.place), None) if state else None
    why = next((o.reason for o in state.unfollowed if _is(o, task)), "") if state else ""
    if not lives:
        why = f"agent {task.agent} is away"
    elif found is None and not why:
        why = f"agent {task.agent} has not begun"
    if found is None or found.uuid != task.uuid:
        return ArchivedShard(
            collection=task.collection, shard=task.shard, agent=task.agent, problem=why
        )
    behind_ms = found.behind_ms
    if not lives and state is not None:
        behind_ms = behind_ms or state.at_ms
    base = bases.get(found.chain, 0)
    why = why or (state.problem if state and behind_ms else "")
    return ArchivedShard(
        collection=task.collection,
        shard=task.shard,
        agent=task.agent,
        chain=found.chain,
        stored_entry=found.last if found.last >= 0 else None,
        read_entry=found.seen if found.seen >= 0 else None,
        lag_s=max(0.0, now_ms - behind_ms) / 1000 if behind_ms else 0.0,
        base=base,
        problem=why or ("" if base else "no backup is its base yet"),
    )


def _is(one: object, task: ArchiveTask) -> bool:
    return (getattr(one, "collection", ""), getattr(one, "shard", -1)) == task.place


async def _last_mark(context: CoordinatorContext, plan: ArchivePlan) -> str:
    """When the newest mark was taken; "" for none. Limits: lists all marks."""
    if not plan.tasks:
        return ""
    newest = 0
    async for info in context.store.list(context.paths.archive_marks):
        newest = max(newest, parse_mark_ms(context.paths.parse(info.path).name) or 0)
    return format_time(newest / 1000) if newest else ""


def check_mark(name: str, timeout_s: float) -> None:
    """Raises: Invalid."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(
            f"{name[:MAX_NAME]!r} cannot be the name of a mark",
            f"use 1 to {MAX_NAME} printable characters, such as before-deploy-7",
        )
    if not 0.0 <= timeout_s <= MOST_TIMEOUT_S:
        raise Invalid(f"a timeout of {timeout_s:g} s for a mark", f"use up to {MOST_TIMEOUT_S:g} s")


def shown_mark(mark: Mark) -> ArchiveMark:
    return ArchiveMark(name=mark.name, at=format_time(mark.at_ms / 1000), shards=len(mark.ends))
