"""Blocks of stored bytes and the pages that list them: records, their one encoding, their checks.

Pure: bytes in, records out. `cleancut.repository` reads and writes the objects.
Shape: a page holds up to 4096 block entries; an entry is a zero block, a literal, or a place in a
pack. Documents are msgpack arrays, named by the blake3-256 of these bytes, stored as a zstd frame.
Source: proto/FORMAT.md restates this for other programs.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, TypeVar

import msgspec
import zstandard
from blake3 import blake3

from cleancut.core.primitives.errors import Corrupt, Invalid
from cleancut.core.primitives.ids import Digest

BLOCK_BYTES = 128 * 1024
PACK_BYTES = 8 * 1024 * 1024
PAGE_BLOCKS = 4096
LITERAL_BYTES = 4096
"""A block that zstd brings under this stays in its page."""
PAGE_LITERAL_BYTES = 1024 * 1024
PACK_HEADER_BYTES = 64
PACK_MAGIC = b"CLEANPAK"
MAX_PAGE_BYTES = 8 * 1024 * 1024
_PLACE = struct.Struct("<III")
_DIGEST_BYTES = 32
T = TypeVar("T", bound=msgspec.Struct)


class BlockKind(IntEnum):
    """The place of a block's bytes, and whether they are a zstd frame there."""

    ZERO = 0
    LITERAL = 1
    LITERAL_ZSTD = 2
    PACKED = 3
    PACKED_ZSTD = 4


ZSTD_KINDS = frozenset({BlockKind.LITERAL_ZSTD, BlockKind.PACKED_ZSTD})
PACKED_KINDS = frozenset({BlockKind.PACKED, BlockKind.PACKED_ZSTD})


class Block(NamedTuple):
    """One entry of a page. `pack`, `offset` and `length` say where packed bytes are; `literal`
    holds the others; a zero block has neither, and no digest."""

    kind: BlockKind
    digest: bytes = bytes(_DIGEST_BYTES)
    pack: str = ""
    offset: int = 0
    length: int = 0
    literal: bytes = b""


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Block entries by column, as stored: kinds 1 byte, digests 32, places 12 (u32 LE: index into
    `packs`, offset, length; for a literal 0, offset and length in `literals`)."""

    origin: str
    packs: tuple[str, ...]
    kinds: bytes
    digests: bytes
    places: bytes
    literals: bytes

    def __len__(self) -> int:
        return len(self.kinds)

    def block(self, slot: int) -> Block:
        """Raises: IndexError past the end."""
        kind = BlockKind(self.kinds[slot])
        if kind is BlockKind.ZERO:
            return Block(kind)
        digest = self.digest(slot)
        pack, offset, length = _PLACE.unpack_from(self.places, slot * _PLACE.size)
        if kind in PACKED_KINDS:
            return Block(kind, digest, self.packs[pack], offset, length)
        return Block(kind, digest, literal=self.literals[offset : offset + length])

    def digest(self, slot: int) -> bytes:
        return self.digests[slot * _DIGEST_BYTES : (slot + 1) * _DIGEST_BYTES]

    def same_blocks(self, other: Page) -> bool:
        """True if both have the same blocks, whatever their origin."""
        return (self.digests, self.kinds, self.places, self.packs, self.literals) == (
            other.digests,
            other.kinds,
            other.places,
            other.packs,
            other.literals,
        )


class PageBuilder:
    """Collects block entries in order until the page is full."""

    def __init__(self) -> None:
        self._packs: dict[str, int] = {}
        self._kinds = bytearray()
        self._digests = bytearray()
        self._places = bytearray()
        self._literals = bytearray()

    def __len__(self) -> int:
        return len(self._kinds)

    def full(self) -> bool:
        return len(self) >= PAGE_BLOCKS or len(self._literals) >= PAGE_LITERAL_BYTES

    def add(self, block: Block) -> None:
        index, offset, length = 0, block.offset, block.length
        if block.kind in PACKED_KINDS:
            index = self._packs.setdefault(block.pack, len(self._packs))
        elif block.kind is not BlockKind.ZERO:
            offset, length = len(self._literals), len(block.literal)
            self._literals += block.literal
        self._kinds.append(block.kind)
        self._digests += block.digest
        self._places += _PLACE.pack(index, offset, length)

    def page(self, origin: str) -> Page:
        return Page(
            origin,
            tuple(self._packs),
            bytes(self._kinds),
            bytes(self._digests),
            bytes(self._places),
            bytes(self._literals),
        )


def blocks_of(stored_bytes: int) -> int:
    return -(-stored_bytes // BLOCK_BYTES)


def seal(document: msgspec.Struct) -> tuple[Digest, bytes]:
    """The digest of the canonical bytes (msgpack arrays), and the object to store (one zstd
    frame of them)."""
    canonical = msgspec.msgpack.encode(document)
    stored = zstandard.ZstdCompressor(level=1).compress(canonical)
    return Digest(blake3(canonical).hexdigest()), stored


def open_page(digest: str, stored: bytes) -> Page:
    """Raises: Corrupt, unless `stored` holds exactly what `digest` names and it makes sense."""
    page = open_document(digest, stored, Page, MAX_PAGE_BYTES)
    count = len(page.kinds)
    if len(page.digests) != count * _DIGEST_BYTES or len(page.places) != count * _PLACE.size:
        raise Corrupt(f"page {digest} has columns of unequal length")
    if not set(page.kinds) <= set(BlockKind):
        raise Corrupt(
            f"page {digest} has a block of an unknown kind", "use the release that wrote it"
        )
    for slot, (pack, offset, length) in enumerate(_PLACE.iter_unpack(page.places)):
        packed = page.kinds[slot] in PACKED_KINDS
        if (packed and pack >= len(page.packs)) or (
            not packed and offset + length > len(page.literals)
        ):
            raise Corrupt(f"page {digest} points outside of itself at block {slot}")
        if length > BLOCK_BYTES:
            raise Corrupt(f"page {digest} claims {length} stored bytes for block {slot}")
    return page


def open_document(digest: str, stored: bytes, kind: type[T], limit: int) -> T:
    """The record of `kind` that `digest` names.

    Raises: Corrupt, unless `stored` holds exactly those bytes, and not over `limit` of them.
    """
    what = kind.__name__.lower()
    try:
        if not 0 <= zstandard.frame_content_size(stored) <= limit:
            raise Corrupt(f"{what} {digest} is larger than {limit} bytes")
        canonical = zstandard.ZstdDecompressor().decompress(stored, max_output_size=limit)
        if blake3(canonical).hexdigest() != digest:
            raise Corrupt(f"{what} {digest} holds other bytes than its name says")
        return msgspec.msgpack.decode(canonical, type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{what} {digest} cannot be read: {error}") from error


def pack_header(salt: bytes) -> bytes:
    """Magic 8, version u16, flags u16, 32 bytes of salt, zeros up to 64."""
    if len(salt) != 32:
        raise Invalid(f"a salt has 32 bytes, not {len(salt)}")
    return (PACK_MAGIC + struct.pack("<HH", 1, 0) + salt).ljust(PACK_HEADER_BYTES, b"\0")
