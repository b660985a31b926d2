"""All streams of one epoch: opened at once, cut together, stored in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.context import Context
from agent.partials import Partials
from cleancut.errors import CleancutError
from cleancut.ids import Epoch
from cleancut.io.capture import CapturedShard, Left, capture_shard
from cleancut.io.known import Earlier
from cleancut.io.packs import PackWriter, share_bytes
from cleancut.io.tasks import run_all
from cleancut.partial import PartialRecipe
from cleancut.recipe import Recipe
from cleancut.records import ShardTask

ORIGINS = 8
"""So many attempts one after the other reuse what the ones before have stored."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One shard to capture, and what is known of it: its `parent` in the newest group, and what an
    `earlier` attempt has left."""

    task: ShardTask
    parent: Recipe | None
    earlier: Earlier | None


class Captures:
    """Runs as one task; `wait_cut` and `wait_stored` tell of it, or raise what ended it."""

    def __init__(
        self,
        context: Context,
        epoch: Epoch,
        session_id: str,
        pool: Executor,
        *,
        unknown: frozenset[str] = frozenset(),
    ) -> None:
        self._context, self._epoch, self._unknown = context, epoch, unknown
        self._session_id, self._pool = session_id, pool
        self._left: list[PartialRecipe] = []
        self._uncut = 0
        self._all_cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stored: asyncio.Future[list[CapturedShard]] = (
            asyncio.get_running_loop().create_future()
        )
        self._packs: PackWriter | None = None
        self._chunk_bytes = 0
        self.read_bytes = 0
        """Bytes of tar read so far, over all shards."""
        self.expected_bytes = 0
        """What they come to, if each has a parent to tell by; else 0."""

    @property
    def stored_bytes(self) -> int:
        """What the store has taken so far."""
        return self._packs.stored_bytes if self._packs else 0

    async def run(self, streams: Sequence[Stream]) -> None:
        """Captures them all. Never raises but when cancelled: the waiting sides are told.
        However it ends, what has been stored is remembered for the next attempt."""
        self._uncut = len(streams)
        if all(stream.parent for stream in streams):
            self.expected_bytes = sum(s.parent.tar_bytes for s in streams if s.parent)
        try:
            results = await self._capture_all(streams)
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
        finally:
            if streams:
                Partials(self._context.spill_dir).replace(self._left)

    async def _capture_all(self, streams: Sequence[Stream]) -> list[CapturedShard]:
        spill = spill_of(self._context.spill_dir)
        async with PackWriter(
            self._context.store,
            self._context.paths,
            epoch=self._epoch,
            session_id=self._session_id,
            pool=self._pool,
            spill_dir=spill,
            limits=self._context.limits,
        ) as packs:
            self._packs = packs
            self._chunk_bytes = share_bytes(len(streams))
            calls = [partial(self._capture, packs, stream) for stream in streams]
            results = await run_all(calls, at_once=max(1, len(calls)))
            await packs.flush()
        return results

    async def _capture(self, packs: PackWriter, stream: Stream) -> CapturedShard:
        task = stream.task
        qdrant, size = self._context.qdrant, self._chunk_bytes
        async with qdrant.stream_shard(task.collection, task.shard_id, size) as chunks:
            return await capture_shard(
                self._counted(chunks),
                parent=stream.parent,
                packs=packs,
                on_cut=self._cut,
                unknown=self._unknown,
                earlier=stream.earlier,
                on_end=partial(self._leave, packs.origin, stream),
            )

    def _leave(self, origin: str, stream: Stream, left: Left) -> None:
        """Of two attempts that both were broken off, the one that came further is remembered."""
        task, before = stream.task, stream.earlier.partial if stream.earlier else None
        origins = (origin, *(before.origins if before else ()))[:ORIGINS]
        made = PartialRecipe(
            task.collection, task.shard_id, origins, left.members, left.pages, left.kept
        )
        self._left.append(made if before is None or made.blocks() >= before.blocks() else before)

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
