"""All streams of one epoch: opened at once and cut together, or of a seed some at a time; stored in
the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cleancut.core.format.keeping import KeepableMembers
from cleancut.core.format.manifest import CaptureSources, ShardTimes
from cleancut.core.format.partial_recipe import PartialRecipe
from cleancut.core.format.recipe import Recipe
from cleancut.core.maintenance.garbage import SEED_KEPT_S
from cleancut.core.primitives.errors import CleancutError, Denied, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.requests import STREAMS_TO_OPEN
from cleancut.repository.packs.pack_writer import PackWriter, share_bytes
from cleancut.repository.shards.capture import CapturedShard, CaptureState, capture_shard
from cleancut.repository.shards.dedup import EarlierCapture
from cleancut.repository.shards.rolled_tar import Log, kept_with_log, with_log
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.repository.shards.tar_scanner import KeptMember
from cleancut.runtime.concurrency import run_all, run_in_thread
from cleancut_agent.backup.partial_recipes import PartialRecipes
from cleancut_agent.capture.direct_tar import DirectTar, UnprovenFiles
from cleancut_agent.capture.local_capture import DirectCapture
from cleancut_agent.context import AgentContext
from cleancut_agent.progress import BytesProgress

ORIGINS = 32
"""The most sessions whose packs one shard reuses."""
SMALLEST_READ = 256 * 1024
"""Of a file on the disk, so much is read at once at least."""
LEFT_S = SEED_KEPT_S
"""So long is remembered what was left of a shard; by then a gc run has taken it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One shard to capture, and what is known of it: its `parent` in the newest group, and what an
    `earlier` attempt has left. `log`: what replaces the log in its tar, once that is known.
    `stored`: the tar is the parent's, read from the store."""

    task: ShardTask
    parent: Recipe | None
    earlier: EarlierCapture | None
    log: Callable[[], Awaitable[Log]] | None = None
    stored: bool = False

    @property
    def known_blocks(self) -> int:
        """How much of it an earlier attempt has left."""
        return self.earlier.partial.blocks() if self.earlier else 0


class Stored(NamedTuple):
    """A stored shard; `sources`: what came from where, unless all of it was streamed. `times`: how
    long it took."""

    shard: CapturedShard
    sources: CaptureSources | None = None
    times: ShardTimes | None = None


class Captures:
    """Runs as one task; `wait_cut` and `wait_stored` wait for it, or raise what ended it.

    `on_stream` is called for each shard when its stream is opened and when it has ended, with
    the number of open ones. `startup`: of the local peer; "": nothing is captured directly.
    """

    def __init__(
        self,
        context: AgentContext,
        epoch: Epoch,
        session_id: str,
        pool: Executor,
        *,
        unknown: frozenset[str] = frozenset(),
        startup: str = "",
        on_stream: Callable[[ShardTask, int], None] = lambda _task, _reading: None,
    ) -> None:
        self._context, self._epoch, self._unknown = context, epoch, unknown
        self._direct = context.capture if startup else None
        self._startup = startup
        self._on_stream, self._reading = on_stream, 0
        self._session_id, self._pool = session_id, pool
        self._partials = PartialRecipes(context.spill_dir)
        self._opening = asyncio.Semaphore(STREAMS_TO_OPEN)
        self._uncut = self._streams = self._captured = 0
        self._in_hurry, self._one_by_one = 0, False
        self._all_cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stored: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
        self._packs: PackWriter | None = None
        self._chunk_bytes = 0
        self._read_s: dict[tuple[str, ShardId], float] = {}
        self.read_bytes = 0
        """Bytes of tar read so far, over all shards."""
        self.expected_bytes = 0
        """What they come to, if each has a parent to tell by; else 0."""

    @property
    def stored_bytes(self) -> int:
        """What the store has taken so far."""
        return self._packs.stored_bytes if self._packs else 0

    @property
    def to_store_bytes(self) -> int:
        """What the store is to take in all; 0, until all streams are read to their end."""
        packs = self._packs
        if packs is None or packs.waiting_streams + self._captured < self._streams:
            return 0
        return packs.taken_bytes

    def moved(self) -> BytesProgress:
        return BytesProgress(
            self.read_bytes, self.expected_bytes, self.stored_bytes, self.to_store_bytes
        )

    def expect(self, size_bytes: int) -> None:
        """More than the tars is read: for progress."""
        self.expected_bytes += size_bytes if self.expected_bytes else 0

    def count_read(self, size_bytes: int) -> None:
        self.read_bytes += size_bytes

    async def run(self, streams: Sequence[Stream], at_once: int = 0) -> None:
        """Captures them all, `at_once` of them at a time if that is given: then nothing waits for
        their cuts, and a shard of which files are not proven is streamed at once. Never raises but
        when cancelled: the waiting sides get the error. However it ends, the next attempt knows
        what has been stored."""
        self._uncut = self._streams = len(streams)
        self._one_by_one = at_once > 0
        if all(stream.parent for stream in streams):
            self.expected_bytes = sum(s.parent.tar_bytes for s in streams if s.parent)
        try:
            results = await self._capture_all(streams, at_once or max(1, len(streams)))
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
            self._partials.forget(self._context.clock.wall_s() - LEFT_S)

    async def _capture_all(self, streams: Sequence[Stream], at_once: int) -> list[Stored]:
        spill = spill_of(self._context.spill_dir)
        async with PackWriter(
            self._context.store,
            self._context.paths,
            epoch=self._epoch,
            session_id=self._session_id,
            pool=self._pool,
            spill_dir=spill,
            limits=self._context.limits,
            token_hex=self._context.token_hex,
            gather=at_once == len(streams),
            may_spill=lambda: self._in_hurry > 0,
        ) as packs:
            self._packs = packs
            self._chunk_bytes = share_bytes(min(at_once, len(streams))) // 2
            calls = [partial(self._capture, packs, stream) for stream in streams]
            results = await run_all(calls, at_once)
            await packs.flush()
        return results

    async def _capture(self, packs: PackWriter, stream: Stream) -> Stored:
        began_s, task = self._context.clock.monotonic_s(), stream.task
        stored = await self._capture_shard(packs, stream)
        self._captured += 1
        ended_s = self._context.clock.monotonic_s()
        read_s = self._read_s.pop((task.collection, task.shard_id), ended_s)
        times = ShardTimes(
            read_ms=round((read_s - began_s) * 1000), total_ms=round((ended_s - began_s) * 1000)
        )
        return stored._replace(times=times)

    async def _capture_shard(self, packs: PackWriter, stream: Stream) -> Stored:
        task = stream.task
        async with AsyncExitStack() as stack:
            turn = await stack.enter_async_context(self._turn_to_open())
            stack.enter_context(self._open(task))
            if stream.stored:
                return await self._roll(packs, stream, turn)
            opened = await self._open_direct(stack, stream)
            if opened is not None:
                try:
                    return await self._capture_direct(packs, stream, opened, turn)
                except UnprovenFiles:
                    if not self._one_by_one:
                        raise
            chunks = await self._stream(stack, task)
            return Stored(await self._store(packs, stream, chunks, turn))

    async def _roll(self, packs: PackWriter, stream: Stream, turn: Callable[[], None]) -> Stored:
        """The parent's tar with another log: its members are kept, if each of them can be."""
        parent, log = stream.parent, stream.log
        assert parent is not None, "what is stored has a recipe"
        assert log is not None, "a shard is stored again for its log alone"
        keepable = KeepableMembers(parent, self._unknown)
        if not all(one.path in keepable for one in parent.members if one.path):
            return Stored(await self._store(packs, stream, self._parents_tar(stream.task), turn))
        kept = self._counted(kept_with_log(parent, log), parent.sizes(), stream.task)
        shard = await self._capture_pieces(packs, stream, kept, turn, hashed=False)
        if self._context.capture is not None:
            rolled = self._context.capture.rolled
            await run_in_thread(partial(rolled, stream.task, shard.recipe_digest))
        return Stored(shard)

    async def _store(
        self,
        packs: PackWriter,
        stream: Stream,
        chunks: AsyncIterator[bytes | KeptMember],
        turn: Callable[[], None],
        *,
        hashed: bool = True,
        sizes: Mapping[str, int] | None = None,
    ) -> CapturedShard:
        chunks = self._counted(chunks, sizes or {}, stream.task)
        pieces = with_log(chunks, stream.log) if stream.log else chunks
        return await self._capture_pieces(packs, stream, pieces, turn, hashed=hashed)

    async def _capture_pieces(
        self,
        packs: PackWriter,
        stream: Stream,
        pieces: AsyncIterator[bytes | KeptMember],
        turn: Callable[[], None],
        *,
        hashed: bool,
    ) -> CapturedShard:
        return await capture_shard(
            pieces,
            parent=stream.parent,
            packs=packs,
            on_cut=partial(self._cut, turn),
            hashed=hashed,
            unknown=self._unknown,
            earlier=stream.earlier,
            on_left=partial(self._leave, packs.origin, stream),
            holder=stream.task.peer_id,
        )

    async def _stream(
        self, stack: AsyncExitStack, task: ShardTask, known: bytes | None = None
    ) -> AsyncIterator[bytes]:
        size, qdrant = self._chunk_bytes, self._context.qdrant
        opened = qdrant.stream_shard(task.collection, task.shard_id, size, known)
        return self._hurried(await stack.enter_async_context(opened))

    async def _hurried(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """While Qdrant streams it holds its optimizers off, so what the store cannot take yet goes
        to the disk; what is read from the disk itself can wait."""
        self._in_hurry += 1
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            self._in_hurry -= 1

    async def _open_direct(
        self, stack: AsyncExitStack, stream: Stream
    ) -> tuple[DirectCapture, AsyncIterator[bytes]] | None:
        """None: the shard is streamed whole, also where Qdrant has no partial streams."""
        if self._direct is None:
            return None
        task, begin = stream.task, self._direct.begin
        direct = await run_in_thread(
            partial(begin, task, stream.parent, self._unknown, self._startup)
        )
        if direct is None:
            return None
        stack.callback(direct.close)
        try:
            return direct, await self._stream(stack, task, direct.selection.body())
        except (Denied, Invalid, NotFound, Refused):
            return None

    async def _capture_direct(
        self,
        packs: PackWriter,
        stream: Stream,
        opened: tuple[DirectCapture, AsyncIterator[bytes]],
        turn: Callable[[], None],
    ) -> Stored:
        assert self._direct is not None
        direct, chunks = opened
        tar: DirectTar = direct.tar(max(self._chunk_bytes, SMALLEST_READ))
        try:
            async with aclosing(tar.pieces(chunks)) as pieces:
                shard = await self._store(
                    packs, stream, pieces, turn, hashed=False, sizes=direct.sizes
                )
        except CleancutError as error:
            self._direct.failed(stream.task, error)
            raise
        done = partial(self._direct.done, direct, shard.recipe_digest, tar.proven)
        await run_in_thread(done)
        return Stored(shard, tar.sources)

    async def _parents_tar(self, task: ShardTask) -> AsyncIterator[bytes]:
        tar = read_tar(self._context.store, self._context.paths, task.recipe)
        async with aclosing(tar) as chunks:
            async for chunk in chunks:
                yield bytes(chunk)

    @contextlib.contextmanager
    def _open(self, task: ShardTask) -> Iterator[None]:
        self._reading += 1
        self._on_stream(task, self._reading)
        try:
            yield
        finally:
            self._reading -= 1
            self._on_stream(task, self._reading)

    def _leave(self, origin: str, stream: Stream, left: CaptureState) -> None:
        """Of two attempts that both were broken off, the one that came further is remembered."""
        task, before = stream.task, stream.earlier.partial if stream.earlier else None
        used = [one for one in (before.origins if before else ()) if one in left.origins]
        made = PartialRecipe(
            task.collection,
            task.shard_id,
            (origin, *used)[:ORIGINS],
            left.members,
            left.pages,
            left.kept,
        )
        if left.whole or before is None or made.blocks() >= before.blocks():
            self._partials.put(made)

    async def _counted(
        self, chunks: AsyncIterator[bytes | KeptMember], sizes: Mapping[str, int], task: ShardTask
    ) -> AsyncIterator[bytes | KeptMember]:
        """`sizes`: of the members that may be kept; they count as read."""
        async for chunk in chunks:
            if isinstance(chunk, KeptMember):
                self.read_bytes += sizes[chunk.path]
            else:
                self.read_bytes += len(chunk)
            yield chunk
        self._read_s[task.collection, task.shard_id] = self._context.clock.monotonic_s()

    @asynccontextmanager
    async def _turn_to_open(self) -> AsyncIterator[Callable[[], None]]:
        """Waits until another stream may be opened; what is given lets the next one in."""
        await self._opening.acquire()
        waiting = [self._opening.release]

        def done() -> None:
            if waiting:
                waiting.pop()()

        try:
            yield done
        finally:
            done()

    def _cut(self, done: Callable[[], None]) -> None:
        done()
        self._uncut -= 1
        if self._uncut == 0 and not self._all_cut.done():
            self._all_cut.set_result(None)

    def _fail(self, error: CleancutError) -> None:
        for future in (self._all_cut, self._stored):
            if not future.done():
                future.set_exception(error)
                future.exception()  # looked at: a failure without a waiter must not be logged

    async def wait_cut(self) -> None:
        """Returns when every shard's state is frozen. Raises: what ended a stream before."""
        await asyncio.shield(self._all_cut)

    async def wait_stored(self) -> list[Stored]:
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
