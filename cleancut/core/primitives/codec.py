"""Codec of records: frozen structs and their one canonical JSON, which is hashed and compared."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import Sha256


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all records: immutable, keyword-only, defaults left out when written."""


_encoder = msgspec.json.Encoder(order="sorted")
R = TypeVar("R")


def encode(record: Any) -> bytes:
    """Canonical JSON of `record`: keys sorted, no spaces. The same value gives the same bytes."""
    return _encoder.encode(record)


def decode(kind: type[R], data: bytes, where: str) -> R:
    """The record of `kind` in `data`. Raises: Corrupt, naming `where` it lies."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Corrupt(f"{where} is not a valid {kind.__name__}: {error}") from error


def digest_of(record: Any) -> Sha256:
    """sha256 of the canonical encoding, lower-case hex."""
    return Sha256(hashlib.sha256(encode(record)).hexdigest())
