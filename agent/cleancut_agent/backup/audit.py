"""Audit of captures from the disk: Qdrant streams the shard again, and what is stored of it is
compared with that, member by member."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import aclosing

from cleancut.core.capture.audit import compare
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.repository.shards.member_digests import digest_members
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut_agent.backup.captures import Stored
from cleancut_agent.capture.direct_tar import OtherFiles
from cleancut_agent.context import AgentContext

WRITTEN_TO = "it was written to or optimized since it was cut"


async def audit_shard(
    context: AgentContext,
    pool: Executor,
    task: ShardTask,
    stored: Stored | None,
    *,
    is_still: Callable[[], Awaitable[bool]],
    on_read: Callable[[int], None],
) -> str:
    """Why the capture was not compared; "": it was, and is what Qdrant streams.

    `stored`: None, if the shard was not read. `is_still`: whether the shard has not changed since
    it was cut; asked before the stream and after it. `on_read`: for progress.
    Raises: OtherFiles, if they differ: nothing is captured from the disk any more. What the store
        and Qdrant raise.
    """
    if stored is None:
        return "it is as in the backup before, and was not read"
    sources = stored.sources
    if sources is None or not (sources.direct_bytes or sources.kept_bytes):
        return "Qdrant streamed all of it"
    if not await is_still():
        return WRITTEN_TO
    async with context.qdrant.stream_shard(task.collection, task.shard_id) as chunks:
        streamed = await digest_members(chunks, pool, on_read)
    if not await is_still():
        return WRITTEN_TO
    tar = read_tar(context.store, context.paths, stored.shard.recipe_digest)
    async with aclosing(tar) as pieces:
        captured = await digest_members(pieces, pool, on_read)
    found = compare(captured, streamed)
    if found.differences:
        error = OtherFiles(
            f"audit: shard {task.shard_id} of {task.collection} captured from the disk is not what"
            f" Qdrant streams: {found.in_words()}",
            "all shards of this peer are streamed until its agent restarts; report this",
        )
        if context.capture is not None:
            context.capture.failed(task, error)
        raise error
    return found.skipped
