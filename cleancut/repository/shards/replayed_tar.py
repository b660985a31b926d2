"""A shard's tar as it is recovered at a moment: the entries of an archive in place of its log.

Its length is known before any entry is read, and nothing is held: the tar and the entries go
through as they come.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.wal.segments import SegmentPlan, SegmentWriter
from cleancut.repository.shards.rolled_tar import LogExchange, is_log, log_header
from cleancut.repository.shards.tar_scanner import UNIT


def replayed_bytes(recipe: Recipe, plans: Iterable[SegmentPlan]) -> int:
    """The length of the tar of `recipe` with these files in place of its log."""
    gone = sum(member.tar_bytes() for member in recipe.members if is_log(member.path))
    files = sum(UNIT + plan.size_bytes + -plan.size_bytes % UNIT for plan in plans)
    return recipe.tar_bytes - gone + files


async def replayed_tar(
    chunks: AsyncIterator[bytes | memoryview],
    plans: Sequence[SegmentPlan],
    entries: AsyncIterator[bytes],
) -> AsyncGenerator[bytes, None]:
    """The tar of `chunks` with the planned files, filled from `entries`, in place of its log.

    Raises: Corrupt, if the entries are not as planned; what `chunks` and `entries` raise.
    """
    exchange = LogExchange()
    async for chunk in chunks:
        before, after = exchange.feed(chunk)
        if before:
            yield before
        if after is None:
            continue
        async for piece in _files(plans, entries):
            yield piece
        if after:
            yield after
    if not exchange.written:
        raise Corrupt("the tar of a shard ended before its log", "verify the backup")


async def _files(
    plans: Sequence[SegmentPlan], entries: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    for plan in plans:
        writer = SegmentWriter(plan)
        yield log_header(plan.name, plan.size_bytes) + writer.begin()
        while not writer.full:
            data = await anext(entries, None)
            if data is None:
                break
            yield writer.add(data)
        yield writer.end() + bytes(-plan.size_bytes % UNIT)
