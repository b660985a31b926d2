"""Captures one shard: its tar stream becomes blocks, pages and a recipe in the store.

Blocks that the parent's recipe holds at the same member and index are not stored again, and
members that the stream says are kept are the parent's, without being read. The scan
runs on the event loop, so that a cut is seen the moment it arrives; hashing and compressing run in
the pack writer's pool while the next batch is being read: two batches of a stream at a time, or one
if its sha256 is asked for, which goes from byte to byte.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cleancut.core.format.keeping import KeepableMembers
from cleancut.core.format.pack_uses import UseTally
from cleancut.core.format.page import PACKED_KINDS, Block, Page, PageBuilder, blocks_of, seal
from cleancut.core.format.partial_recipe import first_blocks
from cleancut.core.format.recipe import PageRef, Recipe, marks_cut
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Digest, PeerId, Sha256
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.chunker import (
    ClassifiedBlock,
    Cutter,
    Hash,
    ParentSlot,
    PendingBlock,
    digest_batch,
)
from cleancut.repository.shards.dedup import Deduplicator, EarlierCapture
from cleancut.repository.shards.stream_holder import StreamHolder
from cleancut.repository.shards.tar_scanner import KeptMember, MemberStart, TarScan

BATCHES = 2
"""Of one stream, in the pool at once: an agent has as many threads."""


@dataclass(frozen=True, slots=True)
class CapturedShard:
    """A capture that is durable in the store. `tar_sha256`: "", if it was not asked for.

    Unit: `size_bytes` of the tar; `new_bytes` of it were not in the parent (zeros count as known);
        `stored_bytes` went to the store for them, pages and recipe included.
    """

    recipe_digest: Digest
    tar_sha256: Sha256
    size_bytes: int
    new_bytes: int
    stored_bytes: int
    packs: frozenset[str]
    lost_parent_pages: int


class CaptureState(NamedTuple):
    """What a capture has brought to packs and pages: see `PartialRecipe`. `origins`: the sessions
    whose packs it names. `whole`: nothing is missing."""

    members: tuple[tuple[str, int], ...]
    pages: tuple[PageRef, ...]
    kept: tuple[tuple[str, Page], ...]
    origins: frozenset[str] = frozenset()
    whole: bool = False


async def capture_shard(
    chunks: AsyncIterator[bytes | KeptMember],
    *,
    parent: Recipe | None,
    packs: PackWriter,
    on_cut: Callable[[], None],
    hashed: bool = True,
    unknown: frozenset[str] = frozenset(),
    earlier: EarlierCapture | None = None,
    on_left: Callable[[CaptureState], None] = lambda _left: None,
    holder: PeerId | None = None,
) -> CapturedShard:
    """Stores what `chunks` bring, the whole tar of one shard, and returns once it is durable.

    `hashed`: with the sha256 of the tar. A kept member, which only a capture without it may have,
    is the parent's; that it can be kept (`KeepableMembers`, with `unknown`) was asked before.
    `holder`: the peer whose replica it has to be; None: any.
    Order: `on_cut` is called once, on the event loop, when the first byte that proves the cut is
        there. What `unknown` names (packs by name, pages by digest: marked or nearly dead ones)
        is stored again. `on_left` is called with what the store has, or is about to have, by then:
        after each full page of its own, and when it ends, however that is.
    Limits: two batches are processed while one is read; two pages of the parent, and two of what an
        `earlier` attempt has left, are held.
    Raises: Corrupt (the stream ended early or is not a shard's tar; a kept member whose page cannot
        be read, with the `member` as context), Refused (another peer has sent it), Invalid (a kept
        member that cannot be kept, or not here), and what the store raises. Blocks stored until
        then are named by nothing but what `on_left` was given.
    """
    with packs.stream():
        known = Deduplicator(packs.store, packs.paths, parent, earlier)
        keepable = KeepableMembers(parent, unknown) if parent and not hashed else None
        capture = _Capture(packs, known, unknown, on_left, hashed=hashed, keepable=keepable)
        capture.holder = None if holder is None else StreamHolder(holder)
        try:
            async for chunk in chunks:
                if isinstance(chunk, KeptMember):
                    await capture.keep(chunk.path)
                    continue
                if capture.feed(chunk):
                    on_cut()
                if capture.gathered_bytes >= packs.batch_bytes:
                    await capture.advance()
            if capture.end():
                on_cut()
            await capture.advance()
            await capture.settle()
            return await capture.store()
        finally:
            await capture.abandon()
            on_left(capture.left())


class _Capture:
    """One stream on its way into the store: gathered -> in the pool -> in pages."""

    def __init__(
        self,
        packs: PackWriter,
        known: Deduplicator,
        unknown: frozenset[str],
        on_left: Callable[[CaptureState], None],
        *,
        hashed: bool,
        keepable: KeepableMembers | None,
    ) -> None:
        self._packs = packs
        self._known = known
        self._unknown = unknown
        self._on_left = on_left
        self._whole = False
        self._scan = TarScan()
        self.holder: StreamHolder | None = None
        self._cutter = Cutter()
        self._cut_seen = False
        self._chunks: list[bytes] = []
        self.gathered_bytes = 0
        self._tar: Hash | None = hashlib.sha256() if hashed else None
        self._keepable = keepable
        self._kept_bytes = 0
        self._running: deque[tuple[list[PendingBlock], asyncio.Future[list[ClassifiedBlock]]]] = (
            deque()
        )
        self._most = 1 if hashed else BATCHES
        self._builder = PageBuilder()
        self._same_as: ParentSlot | None = None
        self._pages: list[PageRef] = []
        self._uses = UseTally()
        self._page_uses: list[bytes] = []
        self._documents: list[str] = []
        self._not_durable: dict[str, Page] = {}
        self._new_bytes = 0
        self._stored_bytes = 0

    def feed(self, chunk: bytes) -> bool:
        """Gathers `chunk`; True once, when it holds the first byte that proves the cut."""
        if self._tar is not None:
            self._chunks.append(chunk)
        self.gathered_bytes += len(chunk)
        cut = False
        for event in self._scan.feed(chunk):
            self._cutter.see(event)
            if self.holder is not None:
                self.holder.see(event)
            cut = cut or (isinstance(event, MemberStart) and marks_cut(event.path))
        return self._note_cut(cut)

    def end(self) -> bool:
        """Raises: Corrupt, unless all of a shard's tar has come. True as `feed`."""
        self._cutter.finish()
        return self._note_cut(True)

    def _note_cut(self, seen: bool) -> bool:
        first = seen and not self._cut_seen
        self._cut_seen = self._cut_seen or seen
        return first

    async def advance(self) -> None:
        """Sends the next batch to the pool, once there is room. With many streams it is settled
        too: no stream may hold memory that others wait for while it reads."""
        blocks = self._cutter.take()
        for block in blocks:
            block.parent = await self._known.find(block)
        chunks, self._chunks, self.gathered_bytes = self._chunks, [], 0
        if not self._packs.crowded:
            await self._settle_to(self._most - 1)
            self._start(chunks, blocks)
            return
        await self.settle()
        async with self._packs.batches:
            self._start(chunks, blocks)
            await self.settle()

    def _start(self, chunks: list[bytes], blocks: list[PendingBlock]) -> None:
        future = asyncio.get_running_loop().run_in_executor(
            self._packs.pool, digest_batch, self._tar, chunks, blocks, self._unknown
        )
        self._running.append((blocks, future))

    async def settle(self) -> None:
        """Brings the results of all batches in the pool to packs and pages."""
        await self._settle_to(0)

    async def _settle_to(self, left: int) -> None:
        """The oldest first, until no more than `left` are in the pool."""
        while len(self._running) > left:
            blocks, future = self._running[0]
            judged = await future
            self._running.popleft()
            await self._add(blocks, judged)

    async def _add(self, blocks: Sequence[PendingBlock], judged: Sequence[ClassifiedBlock]) -> None:
        places = iter(await self._packs.add([j.data for j in judged if j.data]))
        for pending, found in zip(blocks, judged, strict=True):
            block = found.block
            if found.data:
                pack, offset = next(places)
                block = block._replace(pack=pack, offset=offset)
            await self._append(block, pending.parent, starts_page=pending.starts_page)
            self._new_bytes += 0 if found.known else found.raw_bytes
            self._stored_bytes += len(found.data)

    async def _append(self, block: Block, parent: ParentSlot | None, *, starts_page: bool) -> None:
        """Adds the next entry to the pages."""
        if self._builder.full() or (starts_page and len(self._builder)):
            await self._close_page()
        if not len(self._builder):
            self._same_as = parent
        self._builder.add(block)
        if block.kind in PACKED_KINDS:
            self._uses.add(block.pack, block.offset, block.length)

    async def keep(self, path: str) -> None:
        """Adds the parent's member. Raises: Invalid, Corrupt: see `capture_shard`."""
        if self._keepable is None or path not in self._keepable:
            raise Invalid(f"{path} of the parent cannot be kept", "read it")
        if not self._scan.between_members:
            raise Invalid(f"{path} cannot be kept inside another member")
        if self._cutter.ready:
            await self.advance()
        await self.settle()
        member = self._keepable.member(path)
        starts_page = self._cutter.keep(member)
        self._kept_bytes += member.tar_bytes()
        pages = self._keepable.own_pages(path)
        if pages is None:
            count = blocks_of(member.stored_bytes)
            async for found in self._known.parents_blocks(path, count):
                block = found.page.block(found.slot)
                await self._append(block, found, starts_page=starts_page)
                starts_page = False
            return
        if len(self._builder):
            await self._close_page()
        for ref, uses in pages:
            self._pages.append(ref)
            self._page_uses.append(self._uses.take_over(uses, self._keepable.packs))

    async def _close_page(self) -> None:
        """Takes the parent's page over if it says the same; else the new one is on its way."""
        same, self._same_as = self._same_as, None
        builder, self._builder = self._builder, PageBuilder()
        self._page_uses.append(self._uses.end_page())
        page = builder.page(self._packs.document_origin)
        known = same is not None and same.ref.digest not in self._unknown
        if same and same.whole_page and known and same.page.same_blocks(page):
            self._pages.append(PageRef(same.ref.digest, same.ref.blocks))
            return
        digest, stored = seal(page)
        self._pages.append(PageRef(digest, len(page)))
        path = self._packs.paths.page(digest)
        await self._packs.add_document(path, stored, page.packs)
        self._documents.append(path)
        self._not_durable[digest] = page
        self._not_durable = dict(self._pages_on_the_way())
        self._stored_bytes += len(stored)
        self._on_left(self.left())

    async def store(self) -> CapturedShard:
        """Stores the recipe after all that it names."""
        if len(self._builder):
            await self._close_page()
        size_bytes = self._scan.offset + self._kept_bytes
        pages = zip(self._pages, self._page_uses, strict=True)
        recipe = Recipe(
            self._packs.document_origin,
            tuple(self._cutter.members),
            tuple(PageRef(ref.digest, ref.blocks, uses) for ref, uses in pages),
            self._uses.packs,
            Sha256(self._tar.hexdigest() if self._tar is not None else ""),
            size_bytes,
        )
        digest, stored = seal(recipe)
        path, names = self._packs.paths.recipe(digest), self._uses.names()
        await self._packs.add_document(path, stored, [*sorted(names), *self._documents])
        await self._packs.wait_durable([path])
        self._whole = True
        return CapturedShard(
            digest,
            recipe.tar_sha256,
            size_bytes,
            self._new_bytes,
            self._stored_bytes + len(stored),
            names,
            self._known.lost,
        )

    def _pages_on_the_way(self) -> Iterator[tuple[str, Page]]:
        for digest, page in self._not_durable.items():
            if not self._packs.is_durable(self._packs.paths.page(digest)):
                yield digest, page

    def left(self) -> CaptureState:
        """What has been settled up to now; its packs may still be on their way to the store."""
        pages, kept = list(self._pages), list(self._pages_on_the_way())
        if len(self._builder):
            tail = self._builder.page(self._packs.document_origin)
            pages.append(PageRef(Digest(""), len(tail)))
            kept.append(("", tail))
        blocks = sum(ref.blocks for ref in pages)
        members = first_blocks(self._cutter.seen(), blocks)
        origins = frozenset(pack.rpartition("/")[0] for pack in self._uses.names())
        return CaptureState(members, tuple(pages), tuple(kept), origins, self._whole)

    async def abandon(self) -> None:
        """Waits for the pool to let go of this stream's memory: a thread cannot be cancelled."""
        running = [future for _, future in self._running]
        self._running.clear()
        if running:
            await asyncio.wait(running)
