"""The two stores of a copy: both opened, the target prepared as a store of the same cluster."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import check_format, damaged_format, encode_format
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.ports.clock import Clock
from cleancut.ports.store import Store
from cleancut.repository.owners import check_copy_of
from cleancut.repository.store_format import prove_format
from cleancut.store.key_source import KeySource
from cleancut.store.keyring import check_same_data_keys, ensure_data_key, read_wrapped
from cleancut.store.open import OpenedStore, open_both
from cleancut.store.urls import parse_store_url


@dataclass(frozen=True, slots=True)
class Side:
    """One store of a copy. `keys`: of its encryption, if it has any."""

    url: str
    opened: OpenedStore
    keys: KeySource


@asynccontextmanager
async def open_side(url: str, clock: Clock, keys: KeySource) -> AsyncIterator[Side]:
    """The store at `url`, closed at the end. Raises: as `open_both`."""
    side = Side(url, open_both(url, clock, keys), keys)
    try:
        yield side
    finally:
        await side.opened.store.close()


@dataclass(frozen=True, slots=True)
class Sides:
    """Where objects come from and where they go, under the same paths. `same_key`: objects go as
    they are stored; else as contents, which the target encrypts with a key of its own."""

    source: Side
    target: Side
    paths: Paths
    same_key: bool

    @property
    def source_raw(self) -> Store:
        """Objects with the sizes that they have in the target too."""
        return self.source.opened.raw if self.same_key else self.source.opened.store

    @property
    def target_raw(self) -> Store:
        return self.target.opened.raw if self.same_key else self.target.opened.store

    async def contents_of(self, path: str, stored: bytes) -> bytes:
        """Contents of an object of the source. Raises: Corrupt, Denied."""
        if not self.same_key:
            return stored
        return await self.source.opened.contents_of(path, stored)


def check_distinct(source_url: str, target_url: str) -> None:
    """Raises: Refused, if both URLs name one place; Invalid."""
    if parse_store_url(source_url) == parse_store_url(target_url):
        raise onto_itself(target_url)


def onto_itself(url: str) -> Refused:
    return Refused(
        f"{url} is the source itself; nothing was copied",
        "give the URL of another bucket, prefix or folder",
    )


async def check_identity(sides: Sides) -> None:
    """Raises: Refused, unless the target is empty or a copy of this source."""
    source, target = sides.source.opened.store, sides.target.opened.store
    await check_copy_of(source, target, sides.paths, sides.target.url)


async def prepare_target(sides: Sides) -> None:
    """The target has the source's format, data keys of its encryption, and the source's owners.
    Order: repeatable, before anything else is put.

    Raises: Refused (another cluster, another format, or other data keys); Denied (no key opens it).
    """
    paths, target = sides.paths, sides.target.opened
    await _prepare_keys(sides)
    await check_identity(sides)
    encrypted = bool(sides.target.keys.read())
    try:
        check_format(await target.raw.get(paths.format), encrypted=encrypted)
    except NotFound:
        await prove_format(target.store, paths, encrypted=encrypted)
        await target.raw.put(paths.format, encode_format(encrypted=encrypted))
    for path in [info.path async for info in sides.source_raw.list(paths.owners)]:
        stored = await sides.source_raw.get(path)
        await sides.contents_of(path, stored)
        await sides.target_raw.put(path, stored)


async def _prepare_keys(sides: Sides) -> None:
    paths, source, target = sides.paths, sides.source.opened.raw, sides.target.opened.raw
    try:
        stored = await source.get(paths.format)
    except NotFound as error:
        raise damaged_format(f"{sides.source.url} has none") from error
    check_format(stored, encrypted=bool(sides.source.keys.read()))
    keys = sides.target.keys.read()
    if not keys:
        return
    if not sides.same_key:
        try:
            await ensure_data_key(target, paths, keys, time.time())
        except Refused as refused:  # another copy has made one meanwhile
            if not await read_wrapped(target, paths):
                raise refused
        return
    theirs = await read_wrapped(target, paths)
    check_same_data_keys(paths.cluster, keys, await read_wrapped(source, paths), theirs)
    for path in [info.path async for info in source.list(paths.data_keys)]:
        await target.put(path, await source.get(path))
