"""The catalog in memory: each manifest is read once, damage shows, what is gone goes."""

from __future__ import annotations

import asyncio

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.core.protocol.states import State
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.shown_catalog import ShownCatalog
from cleancut.repository.verification_log import put_check
from cleancut.testing.memory_store import MemoryStore
from tests.support.groups import manifest, shard

PATHS = Paths(ClusterName("prod"))


class Counting(MemoryStore):
    """Which objects were read whole."""

    def __init__(self) -> None:
        super().__init__()
        self.read_paths: list[str] = []

    async def get(self, path: str, *rest: object, **named: object) -> bytes:
        self.read_paths.append(path)
        return await super().get(path, *rest, **named)  # type: ignore[arg-type]


async def publish(store: MemoryStore, epoch: int) -> None:
    one = manifest(epoch, (shard("books", 0), shard("books", 1)), operation=f"b-{epoch}")
    await store.put(PATHS.group(Epoch(epoch)), encode(one))


def test_each_manifest_is_read_once_and_deleted_ones_go() -> None:
    async def scenario() -> None:
        store = Counting()
        for epoch in (1, 2, 3):
            await publish(store, epoch)
        catalog = ShownCatalog(store, PATHS)
        await catalog.read()
        assert catalog.complete
        assert [one.epoch for one in catalog.backups] == [3, 2, 1]
        store.read_paths.clear()
        await publish(store, 4)
        await store.delete(PATHS.group(Epoch(2)))
        await catalog.read()
        assert [one.epoch for one in catalog.backups] == [4, 3, 1]
        assert PATHS.group(Epoch(3)) not in store.read_paths

    asyncio.run(scenario())


def test_damage_that_a_check_finds_later_shows() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await publish(store, 1)
        catalog = ShownCatalog(store, PATHS)
        await catalog.read()
        assert catalog.backups[0].state is State.COMMITTED
        found = VerificationRecord(
            level=Level.ALL,
            epoch=Epoch(1),
            at="2026-01-01T00:00:00.000Z",
            problems=("wrong",),
            damaged=(f"{0:064x}",),
        )
        await put_check(store, PATHS, found)
        await catalog.read()
        assert catalog.backups[0].state is State.DAMAGED
        assert catalog.checks[0].epoch == 1

    asyncio.run(scenario())


def test_a_manifest_that_cannot_be_read_is_shown_as_corrupt() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        await store.put(PATHS.group(Epoch(7)), b"{}")
        catalog = ShownCatalog(store, PATHS)
        await catalog.read()
        assert [(one.epoch, one.state) for one in catalog.backups] == [(7, State.CORRUPT)]

    asyncio.run(scenario())


def test_a_long_catalog_comes_in_parts_newest_first() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        for epoch in range(1, 200):
            await publish(store, epoch)
        catalog = ShownCatalog(store, PATHS)
        await catalog.read()
        assert not catalog.complete
        assert (catalog.backups[0].epoch, len(catalog.backups)) == (199, 128)
        await catalog.read()
        assert (catalog.complete, len(catalog.backups)) == (True, 199)

    asyncio.run(scenario())
