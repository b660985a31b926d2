"""Cuts a scanned tar into blocks, and finds out what each block is: known, zero, small or new.

`Cutter` runs on the event loop and copies nothing; `digest_batch` is the work for a pool's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import zstandard
from blake3 import blake3

from cleancut.core.format.page import BLOCK_BYTES, LITERAL_BYTES, Block, BlockKind, Page, blocks_of
from cleancut.core.format.recipe import END_BYTES, OWN_PAGE_BLOCKS, Completeness, PageRef, TarMember
from cleancut.repository.shards.tar_scanner import Event, MemberData, MemberEnd, MemberStart

ZSTD_LEVEL = -1
WORTH_PERCENT = 95
PROBE_BYTES = 4096
PROBED_BYTES = 32 * 1024
"""A block over this is probed first: vectors of floats do not compress, and are most of a shard."""
NOISE_PERCENT = 97
_ZEROS = bytes(BLOCK_BYTES)
_threads = threading.local()


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class ParentSlot(NamedTuple):
    """Where the parent has the block of the same member and index; `whole_page`: the page itself
    may be named again."""

    ref: PageRef
    page: Page
    slot: int
    whole_page: bool = True


@dataclass(slots=True)
class PendingBlock:
    """A block as cut: its bytes are still pieces of the chunks that they came in."""

    path: str
    index: int
    starts_page: bool
    pieces: list[memoryview] = field(default_factory=list)
    size_bytes: int = 0
    parent: ParentSlot | None = None


class ClassifiedBlock(NamedTuple):
    """What a block is. `data` is set for a new one, whose place in a pack is not known yet."""

    block: Block
    raw_bytes: int
    known: bool
    data: bytes | memoryview = b""


class Cutter:
    """Collects members and their blocks from a scan's events."""

    def __init__(self) -> None:
        self.members: list[TarMember] = []
        self.complete = Completeness()
        self.end = b""
        self._start = MemberStart("", b"", 0)
        self._size = 0
        self._index = 0
        self._after_large = False
        self._block: PendingBlock | None = None
        self._ready: list[PendingBlock] = []

    def seen(self) -> list[tuple[str, int]]:
        """The members up to now, and how many whole blocks each has."""
        ended = [(member.path, blocks_of(member.stored_bytes)) for member in self.members]
        return [*ended, (self._start.path, self._index)]

    @property
    def ready(self) -> bool:
        """Whether there is a block to take."""
        return bool(self._ready)

    def take(self) -> list[PendingBlock]:
        """The blocks that are whole by now; each is given once."""
        ready, self._ready = self._ready, []
        return ready

    def see(self, event: Event) -> None:
        """Raises: Corrupt (a member twice)."""
        match event:
            case MemberStart():
                if event.path:
                    self.complete.see(event.path)
                self._start, self._size, self._index = event, 0, 0
            case MemberData(piece):
                self._add(piece)
            case MemberEnd(padding):
                self._end_member(padding)

    def keep(self, member: TarMember) -> bool:
        """Adds a member that is not cut; whether its first block starts a page.

        Order: between two members. Raises: Corrupt (a member twice).
        """
        self.complete.see(member.path)
        self.members.append(member)
        count = blocks_of(member.stored_bytes)
        return count > 0 and self._starts_page(large=count >= OWN_PAGE_BLOCKS)

    def finish(self) -> None:
        """Ends the last block. Raises: Corrupt, if this is not all of a shard's tar."""
        self.complete.check(self.end)
        self._end_member(b"")

    def _add(self, piece: memoryview) -> None:
        if self._start.stored_bytes is None and len(self.end) < END_BYTES:
            self.end += bytes(piece[: END_BYTES - len(self.end)])
        self._size += len(piece)
        at = 0
        while at < len(piece):
            block = self._block or self._start_block()
            part = piece[at : at + BLOCK_BYTES - block.size_bytes]
            block.pieces.append(part)
            block.size_bytes += len(part)
            at += len(part)
            if block.size_bytes == BLOCK_BYTES:
                self._end_block(block)

    def _start_block(self) -> PendingBlock:
        large = blocks_of(self._start.stored_bytes or 0) >= OWN_PAGE_BLOCKS
        starts_page = self._index == 0 and self._starts_page(large=large)
        self._block = PendingBlock(self._start.path, self._index, starts_page)
        return self._block

    def _starts_page(self, *, large: bool) -> bool:
        """Whether a member that has blocks starts a page."""
        after, self._after_large = self._after_large, large
        return large or after

    def _end_block(self, block: PendingBlock) -> None:
        self._ready.append(block)
        self._index += 1
        self._block = None

    def _end_member(self, padding: bytes) -> None:
        if self._block:
            self._end_block(self._block)
        self.members.append(TarMember(self._start.path, self._start.header, self._size, padding))


def digest_batch(
    tar: Hash | None,
    chunks: Sequence[bytes],
    blocks: Sequence[PendingBlock],
    unknown: frozenset[str],
) -> list[ClassifiedBlock]:
    """What each block is, in order; `tar`, if any, has been fed all of `chunks`.

    Order: one call at a time for each `tar`. Blocks in packs in `unknown` count as new.
    """
    if tar is not None:
        for chunk in chunks:
            tar.update(chunk)
    return [_judge(block, unknown) for block in blocks]


def _judge(pending: PendingBlock, unknown: frozenset[str]) -> ClassifiedBlock:
    size = pending.size_bytes
    if _all_zero(pending):
        return ClassifiedBlock(Block(BlockKind.ZERO), size, known=True)
    hasher = blake3()
    for piece in pending.pieces:
        hasher.update(piece)
    digest = hasher.digest()
    if pending.parent and pending.parent.page.digest(pending.parent.slot) == digest:
        block = pending.parent.page.block(pending.parent.slot)
        if block.pack not in unknown:
            return ClassifiedBlock(block, size, known=True)
    whole = len(pending.pieces) == 1  # then it need not be copied: fresh memory is what costs
    data = pending.pieces[0] if whole else b"".join(pending.pieces)
    if _is_noise(data):
        block = Block(BlockKind.PACKED, digest, length=size)
        return ClassifiedBlock(block, size, known=False, data=data)
    small = _compressor().compress(data)
    if len(small) < LITERAL_BYTES:
        zstd = len(small) < size
        kind = BlockKind.LITERAL_ZSTD if zstd else BlockKind.LITERAL
        literal = small if zstd else bytes(data)
        return ClassifiedBlock(Block(kind, digest, literal=literal), size, known=False)
    kind = BlockKind.PACKED
    stored: bytes | memoryview = data
    if len(small) * 100 < size * WORTH_PERCENT:
        kind, stored = BlockKind.PACKED_ZSTD, small
    return ClassifiedBlock(Block(kind, digest, length=len(stored)), size, known=False, data=stored)


def _is_noise(data: bytes | memoryview) -> bool:
    """Whether pieces of its beginning, middle and end do not compress, so that the whole is not
    tried."""
    if len(data) <= PROBED_BYTES:
        return False
    middle = len(data) // 2
    probe = b"".join((data[:PROBE_BYTES], data[middle : middle + PROBE_BYTES], data[-PROBE_BYTES:]))
    return len(_compressor().compress(probe)) * 100 >= len(probe) * NOISE_PERCENT


def _all_zero(pending: PendingBlock) -> bool:
    """Looks at few bytes first: most blocks are not zero, and need not be copied to know it."""
    if any(pending.pieces[0][:64]):
        return False
    return b"".join(pending.pieces) == _ZEROS[: pending.size_bytes]


def _compressor() -> zstandard.ZstdCompressor:
    """One for each thread: they cannot be shared."""
    found: zstandard.ZstdCompressor | None = getattr(_threads, "compressor", None)
    if found is None:
        found = _threads.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return found
