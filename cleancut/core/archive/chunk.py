"""Layout of a chunk: a fixed start, its head, its body.

Shape: "CLEANWAL", u32 format 1, u32 bytes of the head, little-endian; the head as canonical JSON,
compressed by zlib if it is large; the body, one zstd frame of the entries of all parts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import zstandard

from cleancut.core.archive.records import CHUNK_FORMAT, ChunkHead, ChunkPart
from cleancut.core.primitives.codec import decode, pack
from cleancut.core.primitives.errors import Corrupt, Refused

START_BYTES = 16
ZSTD_LEVEL = 1
MAX_HEAD_BYTES = 16 << 20
MAX_RAW_BYTES = 512 << 20
_MAGIC = b"CLEANWAL"
_START = struct.Struct("<8sII")
_DAMAGED = "it was damaged, or is not written by cleancut"


def compress_body(data: bytes) -> bytes:
    """The body of a chunk whose entries are `data`, one after the other."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(data)


def make_chunk(
    body: bytes,
    parts: Sequence[ChunkPart],
    *,
    stream: str,
    number: int,
    previous: str,
    made_at_ms: int,
) -> tuple[ChunkHead, str, bytes]:
    """Head, its digest, and the object to store. `body`: see `compress_body`."""
    head = ChunkHead(
        stream=stream,
        number=number,
        previous=previous,
        made_at_ms=made_at_ms,
        parts=tuple(parts),
        body_sha256=hashlib.sha256(body).hexdigest(),
        body_bytes=len(body),
    )
    stored = pack(head)
    start = _START.pack(_MAGIC, CHUNK_FORMAT, len(stored))
    return head, hashlib.sha256(stored).hexdigest(), start + stored + body


def head_bytes(start: bytes, where: str) -> int:
    """How long the head is that follows the first `START_BYTES` of a chunk.

    Raises: Corrupt; Refused, if it has another format.
    """
    if len(start) < START_BYTES or not start.startswith(_MAGIC):
        raise Corrupt(f"{where} is not a chunk of the archive", _DAMAGED)
    _, version, size = _START.unpack_from(start)
    if version != CHUNK_FORMAT:
        raise Refused(
            f"{where} has format {version}, this cleancut reads {CHUNK_FORMAT}",
            "use the cleancut version that wrote it, or a newer one",
        )
    if size > MAX_HEAD_BYTES:
        raise Corrupt(f"{where} has a head of {size} bytes, at most {MAX_HEAD_BYTES}", _DAMAGED)
    return int(size)


def parse_head(stored: bytes, where: str) -> tuple[ChunkHead, str]:
    """The head in `stored`, which are exactly its bytes, and its digest. Raises: Corrupt."""
    head = decode(ChunkHead, stored, where)
    for part in head.parts:
        count = part.last - part.first + 1
        if count < 1 or count != len(part.lengths) or min(part.lengths) < 0:
            raise Corrupt(
                f"{where} names {len(part.lengths)} lengths for entries"
                f" {part.first}..{part.last} of chain {part.chain}",
                _DAMAGED,
            )
    return head, hashlib.sha256(stored).hexdigest()


def open_body(head: ChunkHead, body: bytes, where: str) -> bytes:
    """The entries of all parts, one after the other, checked. Raises: Corrupt."""
    if len(body) != head.body_bytes or hashlib.sha256(body).hexdigest() != head.body_sha256:
        raise Corrupt(f"the entries in {where} are not those that were written", _DAMAGED)
    try:
        size = zstandard.frame_content_size(body)
        if size != head.raw_bytes:
            raise Corrupt(f"{where} holds {size} bytes, its head says {head.raw_bytes}", _DAMAGED)
        if size > MAX_RAW_BYTES:
            raise Corrupt(f"{where} holds {size} bytes, at most {MAX_RAW_BYTES} can be", _DAMAGED)
        return zstandard.ZstdDecompressor().decompress(body)
    except zstandard.ZstdError as error:
        raise Corrupt(f"the entries in {where} cannot be unpacked: {error}", _DAMAGED) from error
