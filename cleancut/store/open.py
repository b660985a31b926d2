"""Opening of a store by its URL: a bucket or a directory, encrypted where it has data keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from cleancut.core.format.paths import Paths
from cleancut.core.format.store_keys import ENCRYPTED_MAGIC, KEY_WANTED
from cleancut.core.primitives.errors import Denied, Refused
from cleancut.core.primitives.ids import ClusterName
from cleancut.ports.clock import Clock
from cleancut.ports.store import Store
from cleancut.store.key_source import NO_KEYS, KeySource
from cleancut.store.limited import LimitedStore
from cleancut.store.urls import FileUrl, S3Url, StoreUrl, parse_store_url

EXTRAS = {"az": "azure", "gs": "gcs"}
"""The extra that each scheme needs."""


class OpenedStore(NamedTuple):
    """One store seen twice. `store`: contents; `raw`: objects as they are stored, with their sizes.
    Without encryption both are the same. `contents_of`: of the object at a path, whose stored bytes
    are given; raises Corrupt, unless they authenticate there."""

    store: Store
    raw: Store
    contents_of: Callable[[str, bytes], Awaitable[bytes]]


def open_store(url: str, clock: Clock, keys: KeySource = NO_KEYS) -> Store:
    """The store at `url`, encrypted if there are `keys`; nothing is read or written yet.

    Raises: Invalid (see above); Refused (a library is missing); and what reading the keys does.
    """
    return open_both(url, clock, keys).store


def open_both(url: str, clock: Clock, keys: KeySource = NO_KEYS) -> OpenedStore:
    """As `open_store`, with a view of what is stored."""
    return view_store(LimitedStore(_open(parse_store_url(url), clock)), clock, keys)


def view_store(raw: Store, clock: Clock, keys: KeySource = NO_KEYS) -> OpenedStore:
    """`raw` with a view of its contents. Raises: what reading the keys does."""
    if not keys.read():
        plain = PlainStore(raw)
        return OpenedStore(plain, plain, _as_it_is)
    from cleancut.store.encrypted import EncryptedStore
    from cleancut.store.keyring import load_data_keys  # here, since it loads cryptography

    async def load(cluster: ClusterName) -> Mapping[int, bytes]:
        """The keys are read again, so that another one can take over while the process runs."""
        now = await asyncio.to_thread(keys.read)
        return await load_data_keys(raw, Paths(cluster), now)

    encrypted = EncryptedStore(raw, load, clock)
    return OpenedStore(encrypted, raw, encrypted.contents_of)


async def _as_it_is(_path: str, stored: bytes) -> bytes:
    return stored


class PlainStore:
    """Passes everything on; an encrypted object raises an error that names the missing key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.put, self.stat, self.delete = store.put, store.stat, store.delete
        self.list, self.close, self.clock_s = store.list, store.close, store.clock_s
        self.folders, self.replace = store.folders, store.replace
        self.remove_unfinished = store.remove_unfinished

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = await self._store.get(path, offset, length)
        if not offset and data.startswith(ENCRYPTED_MAGIC):
            raise Denied(f"{path} is encrypted", KEY_WANTED)
        return data


def _open(where: StoreUrl, clock: Clock) -> Store:
    """Raises: Refused, where a library is missing."""
    if isinstance(where, FileUrl):
        from cleancut.store.file import FileStore

        return FileStore(where.root)
    if isinstance(where, S3Url):
        from cleancut.store.s3 import S3Store  # here, since boto3 takes 0.3 s to load

        return S3Store(where, clock)
    try:
        from cleancut.store.cloud import CloudStore  # here, since it is an extra
    except ImportError as error:
        extra = EXTRAS[where.scheme]
        raise Refused(
            f"a store {where.scheme}:// needs the extra `{extra}`: {error}",
            f"pip install 'cleancut[{extra}]'",
        ) from error
    return CloudStore(where, clock)
