"""Two stores for tests of copies: a source with whole groups, and an empty target."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import replace

from cleancut.api.copies import Copy
from cleancut.copying.run import CopyRequest, CopyRun
from cleancut.copying.sides import Side, Sides
from cleancut.core.format.manifest import AgentDocument, Manifest
from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.protocol.etcd_records import Owner
from cleancut.ports.store import ObjectInfo, Store
from cleancut.repository.catalog import publish_group, put_staged, put_votes_document
from cleancut.runtime.clock import SystemClock
from cleancut.store.key_source import KeySource
from cleancut.store.keyring import ensure_data_key
from cleancut.store.open import view_store
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import PATHS, capture, shard_tar
from tests.support.groups import manifest, shard

OWNER = "c" * 32
CLOCK = SystemClock()


def key_file(folder: Path, letter: str) -> KeySource:
    """A store key in a file."""
    file = folder / f"{letter}.key"
    file.write_bytes(base64.b64encode(letter.encode() * 32))
    return KeySource(file, from_environment=False)


NO_KEY = KeySource(from_environment=False)


class FailingStore:
    """Ends, as a killed process does, at the put number `ends_at`, counted from 1; 0: never."""

    def __init__(self, inner: MemoryStore, ends_at: int = 0) -> None:
        self.inner, self.ends_at, self.number = inner, ends_at, 0

    async def put(self, path: str, data: bytes) -> None:
        self.number += 1
        if self.ends_at and self.number >= self.ends_at:
            raise Unavailable("killed")
        await self.inner.put(path, data)

    async def replace(self, path: str, data: bytes) -> None:
        self.number += 1
        if self.ends_at and self.number >= self.ends_at:
            raise Unavailable("killed")
        await self.inner.replace(path, data)

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        return await self.inner.get(path, offset, length)

    async def stat(self, path: str) -> ObjectInfo | None:
        return await self.inner.stat(path)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self.inner.list(prefix)

    async def folders(self) -> tuple[str, ...]:
        return await self.inner.folders()

    async def delete(self, path: str) -> None:
        await self.inner.delete(path)

    async def clock_s(self) -> float | None:
        return None

    async def remove_unfinished(self, age_s: float) -> int:
        return await self.inner.remove_unfinished(age_s)

    async def close(self) -> None:
        """Keeps what it holds."""


class TwoStores:
    """`source` with the groups that `publish` makes, and `target`. `keys`: of both; `target_keys`:
    another key for the target."""

    def __init__(self, folder: Path, keys: KeySource = NO_KEY) -> None:
        self.folder, self.keys = folder, keys
        self.source, self.target = MemoryStore(), MemoryStore()
        self.view = view_store(self.source, CLOCK, keys).store
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        if known := self.keys.read():
            await ensure_data_key(self.source, PATHS, known, 0.0)
        await self.source.put(PATHS.format, encode_format(encrypted=bool(self.keys.read())))
        await self.view.put(PATHS.owner(1), encode(Owner(cluster_id=OWNER)))

    def publish(self, epoch: int, *, like: int = 0, shards: int = 2) -> Manifest:
        """A group of small shards; the last one differs from that of the group `like`."""
        entries, document = [], []
        for number in range(shards):
            seed = (epoch if number == shards - 1 else like or epoch) * 100 + number
            tar = shard_tar({"payload": random.Random(seed).randbytes(300_000)})
            got = capture(self.view, self.folder / f"spill-{epoch}-{number}", tar, epoch=epoch)
            entry = replace(
                shard("docs", number),
                recipe=got.recipe_digest,
                tar_sha256=got.tar_sha256,
                size_bytes=len(tar),
            )
            entries.append(entry)
            document.append(replace(entry, drained=False))
        made = manifest(epoch, tuple(entries), operation=f"b-{epoch}")
        made = replace(made, cluster_id=OWNER, operation=OperationId(f"b-{epoch}"))

        async def put() -> None:
            agent = AgentDocument(
                epoch=Epoch(epoch), agent=AgentName("agent-1"), shards=tuple(document)
            )
            await put_votes_document(self.view, PATHS, agent)
            await put_staged(self.view, PATHS, Epoch(epoch), made)
            await publish_group(self.view, PATHS, made, encode(made))

        asyncio.run(put())
        return made

    def sides(self, target: Store | None = None, target_keys: KeySource | None = None) -> Sides:
        keys = target_keys or self.keys
        source = Side("file:///source", view_store(self.source, CLOCK, self.keys), self.keys)
        opened = view_store(target or self.target, CLOCK, keys)
        return Sides(source, Side("file:///target", opened, keys), PATHS, target_keys is None)

    def copy(
        self,
        request: CopyRequest,
        *,
        target: Store | None = None,
        target_keys: KeySource | None = None,
    ) -> Copy:
        """One run. Raises: as `CopyRun.run`."""
        said: list[str] = []
        sides = self.sides(target, target_keys)
        return asyncio.run(CopyRun(sides, request, CLOCK, said.append).run())

    def damage(self, store: MemoryStore, folder: str) -> str:
        """Flips a byte in the middle of some object of this folder; its path."""
        path = min(one for one in store.objects if one.startswith(f"{PATHS.root}{folder}/"))
        data = bytearray(store.objects[path])
        data[len(data) // 2] ^= 1
        store.objects[path] = bytes(data)
        return path


def copied_objects(store: MemoryStore) -> dict[str, bytes]:
    """What a copy puts: without the copy's own verification log."""
    log = PATHS.verifications
    return {path: data for path, data in store.objects.items() if not path.startswith(log)}
