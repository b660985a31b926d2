"""All streams of one epoch: opened at once, cut together, stored in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from agent.context import Context
from cleancut.errors import CleancutError
from cleancut.ids import Epoch
from cleancut.io.capture import CapturedShard, capture_shard
from cleancut.io.packs import PackWriter
from cleancut.io.tasks import run_all
from cleancut.recipe import Recipe
from cleancut.records import ShardTask


class Captures:
    """Runs as one task; `wait_cut` and `wait_stored` tell of it, or raise what ended it."""

    def __init__(self, context: Context, epoch: Epoch, session_id: str, pool: Executor) -> None:
        self._context, self._epoch = context, epoch
        self._session_id, self._pool = session_id, pool
        self._uncut = 0
        self._all_cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stored: asyncio.Future[list[CapturedShard]] = (
            asyncio.get_running_loop().create_future()
        )
        self.read_bytes = 0
        """Bytes of tar read so far, over all shards."""

    async def run(self, tasks: Sequence[ShardTask], parents: Sequence[Recipe | None]) -> None:
        """Captures `tasks`, deduplicated against their parents. Never raises but when cancelled:
        the waiting sides are told."""
        self._uncut = len(tasks)
        try:
            results = await self._capture_all(tasks, parents)
        except CleancutError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._all_cut.cancel()
            self._stored.cancel()
            raise
        else:
            self._stored.set_result(results)
            if not self._all_cut.done():
                self._all_cut.set_result(None)

    async def _capture_all(
        self, tasks: Sequence[ShardTask], parents: Sequence[Recipe | None]
    ) -> list[CapturedShard]:
        spill = spill_of(self._context.spill_dir)
        async with PackWriter(
            self._context.store,
            self._context.paths,
            epoch=self._epoch,
            session_id=self._session_id,
            pool=self._pool,
            spill_dir=spill,
        ) as packs:
            calls = [
                partial(self._capture, packs, task, parent)
                for task, parent in zip(tasks, parents, strict=True)
            ]
            results = await run_all(calls, at_once=max(1, len(calls)))
            await packs.flush()
        return results

    async def _capture(
        self, packs: PackWriter, task: ShardTask, parent: Recipe | None
    ) -> CapturedShard:
        async with self._context.qdrant.stream_shard(task.collection, task.shard_id) as chunks:
            return await capture_shard(
                self._counted(chunks), parent=parent, packs=packs, on_cut=self._cut
            )

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self.read_bytes += len(chunk)
            yield chunk

    def _cut(self) -> None:
        self._uncut -= 1
        if self._uncut == 0 and not self._all_cut.done():
            self._all_cut.set_result(None)

    def _fail(self, error: CleancutError) -> None:
        for future in (self._all_cut, self._stored):
            if not future.done():
                future.set_exception(error)
                future.exception()  # looked at: a failure that nobody waits for is no warning

    async def wait_cut(self) -> None:
        """Returns when every shard's state is frozen. Raises: what ended a stream before."""
        await asyncio.shield(self._all_cut)

    async def wait_stored(self) -> list[CapturedShard]:
        """The stored shards, in the order of the tasks. Raises: what ended one of them."""
        return await asyncio.shield(self._stored)


def spill_of(directory: Path) -> Path:
    """Where packs wait for the store, in the agent's own directory."""
    return directory / "spill"


async def cancel(task: asyncio.Task[None]) -> None:
    """Ends `task` and waits until it has really ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
