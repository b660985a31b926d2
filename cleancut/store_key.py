"""The keys that users keep, and the data keys of a repository, which those encrypt.

Pure: bytes in, bytes out. A repository's objects are encrypted by its data keys (`encryption`). A
data key lies in the store, once for each store key that may open it: so another store key can take
over without an object being written anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cleancut.encryption import KEY_BYTES, NONCE_BYTES
from cleancut.errors import Corrupt, Invalid
from cleancut.records import Record

KEY_WANTED = "give the store's key: --store-key-file, --store-key-command or CLEANCUT_STORE_KEY"
ENCRYPT_ANEW = (
    "leave the key out to go on as before; to encrypt, begin under another prefix or name"
)
_HINT = "`cleancut key new` makes one: 32 bytes, written in base64"


class StoreKey(NamedTuple):
    """What the user keeps: it opens the data keys of repositories and nothing else. `id` may be
    shown."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"StoreKey({self.id})"


def parse_store_keys(text: str) -> tuple[StoreKey, ...]:
    """One a line, in base64; lines that start with # are comments.

    Raises: Invalid, without what was given: it may be a secret all the same.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = [_store_key(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise Invalid("there is no store key in what was given", _HINT)
    return tuple(dict.fromkeys(found))


def _store_key(line: str) -> StoreKey:
    try:
        secret = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise Invalid("a store key is not in base64", _HINT) from error
    if len(secret) != KEY_BYTES:
        raise Invalid(f"a store key has {KEY_BYTES} bytes, not {len(secret)}", _HINT)
    return StoreKey(hashlib.sha256(b"cleancut store key 1" + secret).hexdigest()[:16], secret)


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
