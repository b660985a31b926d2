"""Codec of records: frozen structs and their one canonical JSON, which is hashed and compared."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, TypeVar

import msgspec

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Sha256


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all records: immutable, keyword-only, defaults left out when written."""


MAX_UNPACKED = 64 << 20
_PACKED_FROM = 64 << 10
_ZLIB = b"\x78"
"""The first byte of what is compressed; JSON never begins with it."""
_encoder = msgspec.json.Encoder(order="sorted")
R = TypeVar("R")


def encode(record: Any) -> bytes:
    """Canonical JSON of `record`: keys sorted, no spaces. The same value gives the same bytes."""
    return _encoder.encode(record)


def pack(record: Any) -> bytes:
    """As `encode`, for a value in etcd: a large one is compressed, since etcd takes no request over
    1.5 MiB. `decode` reads both."""
    data = encode(record)
    return data if len(data) <= _PACKED_FROM else zlib.compress(data)


def _unpacked(data: bytes) -> bytes:
    """Raises: ValueError."""
    if data[:1] != _ZLIB:
        return data
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError(f"its compression is broken: {error}") from error
    if not unpacker.eof:
        raise ValueError(f"it is cut off, or holds over {MAX_UNPACKED} bytes")
    return found


def decode(kind: type[R], data: bytes, where: str) -> R:
    """The record of `kind` in `data`. Raises: Corrupt, naming `where` it lies."""
    try:
        data = _unpacked(data)
    except ValueError as error:
        raise Corrupt(f"{where} is not a valid {kind.__name__}: {error}") from error
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:  # also what is nested without end
        raise Corrupt(f"{where} is not a valid {kind.__name__}: {error}") from error


def digest_of(record: Any) -> Sha256:
    """sha256 of the canonical encoding, lower-case hex."""
    return Sha256(hashlib.sha256(encode(record)).hexdigest())
