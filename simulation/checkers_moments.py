"""What must hold of moments: what a restore would put in place is what the shard was then."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.errors import CleancutError, NotFound, Refused
from cleancut.core.protocol.moment import MomentRequest, ShardMoment
from cleancut.repository.archive.moments import find_moment
from cleancut.repository.packs.pack_cache import PackCache
from cleancut.repository.shards.replay import open_replay
from simulation.archived import Archived
from simulation.loop import run_apart
from simulation.outcome import Checker, Outcome
from simulation.wal import Replayed, replay

MOST = 3
"""Moments that are looked at in one history."""
_LATER_MS = 3_600_000


def moments_are_true(outcome: Outcome) -> Iterator[str]:
    """Of marks and of times between them: each shard holds as many points as when its log ended
    with that entry, and that entry is its last one."""
    archived = outcome.archived
    if archived is None or not archived.marks:
        return
    times = sorted(mark.at_ms for mark in archived.marks)
    step = max(1, len(times) // MOST)
    for number, at_ms in enumerate(times[step - 1 :: step]):
        exact = bool(number % 2)
        asked = MomentRequest(at_ms=at_ms + (137 if exact else 0), exact=exact)
        yield from run_apart(_wrong_at(outcome, archived, asked))


async def _wrong_at(outcome: Outcome, archived: Archived, asked: MomentRequest) -> list[str]:
    """What is wrong with a restore to that moment; nothing, if it is refused."""
    shared = outcome.shared
    now_ms = asked.at_ms + _LATER_MS
    try:
        manifest, moment = await find_moment(shared.store, shared.paths, asked, now_ms=now_ms)
    except (Refused, NotFound):
        return []
    cache, wrong = PackCache(shared.store), list[str]()
    for shard in moment.shards:
        name = f"{asked.at_ms} on {manifest.epoch}: {shard.collection}/{shard.shard_id}"
        entry = next(
            one
            for one in manifest.shards
            if (one.collection, one.shard_id) == (shard.collection, shard.shard_id)
        )
        try:
            opened = await open_replay(shared.store, shared.paths, entry.recipe, shard)
            tar = b"".join([p async for p in opened.tar(shared.store, shared.paths, cache)])
        except CleancutError as error:
            wrong.append(f"{name} is planned and cannot be read: {error.message}")
            continue
        wrong += [f"{name} {what}" for what in _differs(archived, shard, replay(tar))]
    return wrong


def _differs(archived: Archived, shard: ShardMoment, found: Replayed) -> Iterator[str]:
    if shard.first <= shard.last != found.last:
        yield f"ends with {found.last} instead of {shard.last}"
    logs = archived.logs.get(shard.chain, ())
    contents = {log.content_at(shard.last) for log in logs} - {None}
    if any(log.has_failed and log.content_at(shard.last) is not None for log in logs):
        return  # it may be of that log, whose content at an entry is not known
    if contents and found.points not in contents:
        yield f"has {found.points} points at {shard.last} instead of {contents}"


MOMENT_CHECKERS: tuple[Checker, ...] = (moments_are_true,)
