"""Archive as the API shows it: what agents say in etcd, next to the plan and the backups."""

from __future__ import annotations

import asyncio

from cleancut.api.archive import Archive, ArchivedShard, ArchiveMark
from cleancut.core.archive.plan import ArchiveState, ArchiveTask
from cleancut.core.archive.records import Mark
from cleancut.core.archive.status import behind_ms, find_followed
from cleancut.core.doctor.facts import ArchiveHealth, ArchiveShard
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import ShardId, encode_segment
from cleancut.core.primitives.timestamps import format_second, parse_time
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    read_archive_plan,
    read_archive_states,
    read_marked_ms,
    read_sessions,
)

MOST_TIMEOUT_S = 600.0
MAX_NAME = 100
_MAX_SEGMENT = 240
"""Characters of it as an object's name, of which a directory takes 255 with the time."""
_BOUND_S = 10.0


async def read_archive(context: CoordinatorContext) -> Archive:
    """Raises: what etcd and the store do."""
    plan, states = await read_archive_plan(context), await read_archive_states(context)
    living = set(await read_sessions(context))
    read = await context.bases.read() if plan.tasks else ()
    known: dict[str, int] = {base.chain: base.epoch for base in read}
    now_ms, marked_ms = context.clock.wall_s() * 1000, await read_marked_ms(context)
    return Archive(
        collections=context.archive.collections,
        shards=tuple(
            _shard(task, states, known, now_ms, lives=task.agent in living) for task in plan.tasks
        ),
        last_mark=format_second(marked_ms / 1000) if marked_ms else "",
        raw_bytes=sum(state.raw_bytes for state in states),
        stored_bytes=sum(state.stored_bytes for state in states),
    )


async def read_archive_health(context: CoordinatorContext) -> ArchiveHealth | None:
    """For the doctor; None, if the store does not answer. Raises: what etcd does."""
    try:
        async with asyncio.timeout(_BOUND_S):
            found = await read_archive(context)
    except (CleancutError, TimeoutError):
        return None
    return ArchiveHealth(
        shards=tuple(
            ArchiveShard(
                collection=one.collection,
                shard=ShardId(one.shard),
                problem="" if one.chain else one.problem,
                lag_s=one.lag_s,
                chain=one.chain,
                base=one.base,
            )
            for one in found.shards
        ),
        last_mark_s=parse_time(found.last_mark) if found.last_mark else None,
    )


def _shard(
    task: ArchiveTask,
    states: list[ArchiveState],
    bases: dict[str, int],
    now_ms: float,
    *,
    lives: bool,
) -> ArchivedShard:
    state, found = find_followed(task, states)
    unfollowed = state.unfollowed if state else ()
    why = next((one.reason for one in unfollowed if one.place == task.place), "")
    if not lives:
        why = f"agent {task.agent} is away"
    elif found is None and not why:
        why = f"agent {task.agent} has not begun"
    if state is None or found is None:
        return ArchivedShard(
            collection=task.collection, shard=task.shard, agent=task.agent, problem=why
        )
    since_ms = behind_ms(found, state, lives=lives)
    base = bases.get(found.chain, 0)
    why = why or (state.problem if since_ms else "")
    return ArchivedShard(
        collection=task.collection,
        shard=task.shard,
        agent=task.agent,
        chain=found.chain,
        stored_entry=found.last if found.last >= 0 else None,
        read_entry=found.seen if found.seen >= 0 else None,
        lag_s=max(0.0, now_ms - since_ms) / 1000 if since_ms else 0.0,
        base=base,
        problem=why or ("" if base else "no backup is its base yet"),
    )


def check_mark(name: str, timeout_s: float) -> None:
    """Raises: Invalid."""
    fits = len(name) <= MAX_NAME and name.isprintable()
    if not name.strip() or not fits or len(encode_segment(name)) > _MAX_SEGMENT:
        raise Invalid(
            f"{name[:MAX_NAME]!r} cannot be the name of a mark",
            f"use 1 to {MAX_NAME} printable characters, fewer of other alphabets, such as"
            " before-deploy-7",
        )
    if not 0.0 <= timeout_s <= MOST_TIMEOUT_S:
        raise Invalid(f"a timeout of {timeout_s:g} s for a mark", f"use up to {MOST_TIMEOUT_S:g} s")


def shown_mark(mark: Mark) -> ArchiveMark:
    return ArchiveMark(
        name=mark.name,
        at=format_second(mark.at_ms / 1000),
        at_ms=mark.at_ms,
        shards=len(mark.ends),
    )
