"""Store keys, which users keep: their text form, and hints about them.

Pure: text in, keys out. `encryption` uses them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from cleancut.core.primitives.errors import Invalid

KEY_BYTES = 32
ENCRYPTED_MAGIC = b"CLEANENC"
"""The first bytes of every encrypted object."""
KEY_WANTED = "give the store's key: --store-key-file, --store-key-command or CLEANCUT_STORE_KEY"
ENCRYPT_ANEW = (
    "leave the key out to go on as before; to encrypt, begin under another prefix or name"
)
_HINT = "`cleancut key new` makes one: 32 bytes, written in base64"


class StoreKey(NamedTuple):
    """The user's key, which opens the data keys of repositories and nothing else. `id` is not
    secret."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"StoreKey({self.id})"


def parse_store_keys(text: str) -> tuple[StoreKey, ...]:
    """One a line, in base64; lines that start with # are comments.

    Raises: Invalid; the message never shows the text, which may be a secret.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = [_store_key(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise Invalid("the given text holds no store key", _HINT)
    return tuple(dict.fromkeys(found))


def _store_key(line: str) -> StoreKey:
    try:
        secret = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise Invalid("a store key is not in base64", _HINT) from error
    if len(secret) != KEY_BYTES:
        raise Invalid(f"a store key has {KEY_BYTES} bytes, not {len(secret)}", _HINT)
    return StoreKey(hashlib.sha256(b"cleancut store key 1" + secret).hexdigest()[:16], secret)
