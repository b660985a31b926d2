"""Digests of a shard's points in a file, by id, and their reading with bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from blake3 import blake3

from cleancut.core.points.columns import Kind, VectorColumn
from cleancut.core.points.comparison import (
    DIGEST_BYTES,
    RECORD_BYTES,
    PointDigest,
    key_of,
    parse_digests,
)
from cleancut.engine.shard import id_of, plain_vector, vector_of

_READ_RECORDS = 4096
_canonical = msgspec.json.Encoder(order="deterministic").encode


def write_digests(records: Sequence[Any], columns: Sequence[VectorColumn], file: BinaryIO) -> int:
    """How many bytes were digested."""
    size = 0
    pieces: list[bytes] = []
    for record in records:
        payload = _canonical(record.payload or {})
        vector = b"".join(_data_of(column, vector_of(record, column.name)) for column in columns)
        pieces += (key_of(id_of(record)), _digest(vector), _digest(payload))
        size += len(payload) + len(vector)
    file.write(b"".join(pieces))
    return size


def write_live_digests(
    points: Sequence[Mapping[str, Any]], columns: Sequence[VectorColumn], file: BinaryIO
) -> int:
    """As `write_digests`, of points as Qdrant's API gives them."""
    size = 0
    pieces: list[bytes] = []
    for point in points:
        payload = _canonical(point.get("payload") or {})
        vectors = point.get("vector")
        named = vectors if isinstance(vectors, Mapping) else {"": vectors}
        vector = b"".join(_data_of(column, named.get(column.name)) for column in columns)
        pieces += (key_of(point["id"]), _digest(vector), _digest(payload))
        size += len(payload) + len(vector)
    file.write(b"".join(pieces))
    return size


def read_digests(files: Sequence[Path]) -> Iterator[PointDigest]:
    """The digests in all of `files`, by id."""
    return merge(*(_read(file) for file in files))


def _read(path: Path) -> Iterator[PointDigest]:
    with path.open("rb") as file:
        while data := file.read(_READ_RECORDS * RECORD_BYTES):
            yield from parse_digests(data)


def _digest(data: bytes) -> bytes:
    return blake3(data).digest(DIGEST_BYTES)


def _data_of(column: VectorColumn, found: Any) -> bytes:
    """The vector with its name and lengths: different vectors have different bytes."""
    if found is None:
        return b""
    if column.kind is Kind.SPARSE:
        plain = plain_vector(found) if not isinstance(found, Mapping) else found
        indices, values = plain["indices"], plain["values"]
        data = array("I", indices).tobytes() + array("f", values).tobytes()
    elif column.kind is Kind.MULTI:
        data = b"".join(array("f", row).tobytes() for row in found)
    else:
        data = array("f", found).tobytes()
    head = column.name.encode()
    return len(head).to_bytes(4, "big") + head + len(data).to_bytes(8, "big") + data
