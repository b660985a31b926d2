"""Encrypted objects and the data keys that encrypt them: their format, and how they are opened.

Pure: bytes in, bytes out. A data key lies in the store once for each store key that may open it, so
that another store key can take over without rewriting any object.
Shape: an object is a header of 64 bytes, then segments of 64 KiB, each followed by a tag of 16
bytes (AES-256-GCM). Every object has a key of its own, by HKDF from a data key and the header's
salt; a segment's nonce is its number and whether it is the last. Header and path are authenticated.
Source: proto/FORMAT.md restates this for other programs.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cleancut.core.format.store_keys import ENCRYPTED_MAGIC, KEY_BYTES, StoreKey
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Corrupt

VERSION = 1
HEADER_BYTES = 64
SEGMENT_BYTES = 64 * 1024
TAG_BYTES = 16
NONCE_BYTES = 12
_WHOLE = SEGMENT_BYTES + TAG_BYTES
_START = struct.Struct("<8sHHI32s")
_DAMAGED = "it was damaged, moved from another place, or written with another key"


class Header(NamedTuple):
    """`number`: of the data key. `salt`: of the object's own key."""

    number: int
    salt: bytes

    def encode(self) -> bytes:
        start = _START.pack(ENCRYPTED_MAGIC, VERSION, 0, self.number, self.salt)
        return start.ljust(HEADER_BYTES, b"\0")


def parse_header(data: bytes, path: str) -> Header:
    """Raises: Corrupt, unless `data` starts as an encrypted object does."""
    if not data.startswith(ENCRYPTED_MAGIC):
        raise Corrupt(
            f"{path} is not encrypted, though its repository is",
            "it was written without the key, or replaced: do not trust it",
        )
    if len(data) < HEADER_BYTES:
        raise Corrupt(f"{path} is cut off", "an upload was interrupted, or it was changed")
    _, version, flags, number, salt = _START.unpack_from(data)
    if (version, flags) != (VERSION, 0) or any(data[_START.size : HEADER_BYTES]):
        raise Corrupt(f"{path} has an unknown encryption format", "use the release that wrote it")
    return Header(number, salt)


def segments_of(size_bytes: int) -> int:
    """The number of segments. An empty object has one, whose tag proves that it is whole."""
    return max(1, -(-size_bytes // SEGMENT_BYTES))


def encrypted_bytes(size_bytes: int) -> int:
    """The size in the store of an object of `size_bytes`."""
    return HEADER_BYTES + size_bytes + segments_of(size_bytes) * TAG_BYTES


def plain_bytes(stored_bytes: int) -> int:
    """The size of the object that takes `stored_bytes` in the store; 0 for an impossible size."""
    body = max(0, stored_bytes - HEADER_BYTES)
    return max(0, body - -(-body // _WHOLE) * TAG_BYTES)


def encrypt(data_key: bytes, number: int, path: str, data: bytes) -> bytes:
    """The object to store at `path`. The same arguments give the same bytes, so that a put can be
    repeated; the salt comes from all of them, so no key is ever used for two contents."""
    name = path.encode()
    salted = blake3(key=_derived(data_key, b"", b"cleancut salt 1"))
    salted.update(len(name).to_bytes(4, "little") + name)
    salted.update(data)
    header = Header(number, salted.digest())
    start = header.encode()
    cipher, view = _cipher(data_key, header), memoryview(data)
    last = segments_of(len(data)) - 1
    parts = (
        cipher.encrypt(
            _nonce(n, last=n == last),
            view[n * SEGMENT_BYTES : (n + 1) * SEGMENT_BYTES],
            start + name,
        )
        for n in range(last + 1)
    )
    return b"".join((start, *parts))


class Span(NamedTuple):
    """The part of an encrypted object to read for a range of its contents. `length` has one byte
    more than the segments, which shows whether the last of them is the object's last."""

    first: int
    start: int
    length: int | None

    @property
    def offset(self) -> int:
        """The offset in the contents at which it begins."""
        return self.first * SEGMENT_BYTES

    @classmethod
    def of(cls, offset: int, length: int | None) -> Span:
        first = offset // SEGMENT_BYTES
        start = HEADER_BYTES + first * _WHOLE
        if length is None:
            return cls(first, start, None)
        last = (offset + max(1, length) - 1) // SEGMENT_BYTES
        return cls(first, start, (last - first + 1) * _WHOLE + 1)


def decrypt(
    data_key: bytes, header: Header, path: str, *, span: Span, stored: bytes | memoryview
) -> bytes:
    """The contents of the segments of `span`, which `stored` holds as read. Empty past the end.

    Raises: Corrupt, unless all of them are as they were written, at this path and in this place.
    """
    view = memoryview(stored)
    ended = span.length is None or len(view) < span.length
    view = view if ended else view[:-1]
    count = -(-len(view) // _WHOLE)
    if not count and span.first:
        return b""
    if not count:
        raise Corrupt(f"{path} is cut off", _DAMAGED)
    cipher, known = _cipher(data_key, header), header.encode() + path.encode()
    try:
        return b"".join(
            cipher.decrypt(
                _nonce(span.first + n, last=ended and n == count - 1),
                view[n * _WHOLE : (n + 1) * _WHOLE],
                known,
            )
            for n in range(count)
        )
    except InvalidTag as error:
        raise Corrupt(f"{path} fails its authentication", _DAMAGED) from error


def _nonce(segment: int, *, last: bool) -> bytes:
    return segment.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])


def _cipher(data_key: bytes, header: Header) -> AESGCM:
    return AESGCM(_derived(data_key, header.salt, b"cleancut object 1"))


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


class WrappedKey(Record, frozen=True):
    """`keys/<n>-<id>.json`: data key `number`, encrypted by the store key `id`. `wrapped`: nonce
    and AES-256-GCM in base64."""

    number: int
    id: str
    wrapped: str
    created_at: str


def wrap(key: StoreKey, cluster: str, number: int, data_key: bytes, *, nonce: bytes) -> str:
    """`WrappedKey.wrapped`. Order: `nonce`, 12 bytes, is random and never used again."""
    sealed = AESGCM(key.secret).encrypt(nonce, data_key, _wrapping(key.id, cluster, number))
    return base64.b64encode(nonce + sealed).decode()


def unwrap(keys: Iterable[StoreKey], cluster: str, wrapped: WrappedKey) -> bytes | None:
    """The data key, or None if none of `keys` is the one that it was encrypted by.

    Raises: Corrupt, if it is, and opens nothing.
    """
    key = next((one for one in keys if one.id == wrapped.id), None)
    if key is None:
        return None
    known = _wrapping(wrapped.id, cluster, wrapped.number)
    try:
        sealed = base64.b64decode(wrapped.wrapped, validate=True)
        return AESGCM(key.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], known)
    except (binascii.Error, InvalidTag, ValueError) as error:
        raise Corrupt(
            f"data key {wrapped.number} of {cluster} is damaged",
            "restore keys/ from a copy of the store: without it nothing can be read",
        ) from error


def _wrapping(key_id: str, cluster: str, number: int) -> bytes:
    return f"cleancut data key 1|{cluster}|{number}|{key_id}".encode()
