"""What a plan says of a damaged backup: found before anything is created."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.verification_log import put_check
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.restore.whole import advice, find_damage, newest_whole
from tests.support.capturing import PATHS, capture, shard_tar
from tests.support.groups import manifest, shard


class Archived(MemoryStore):
    """Its packs are listed, and cannot be read."""

    archived = False

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if self.archived and "/packs/" in path:
            raise Refused(f"{path} is in an archive storage class", "restore it first")
        return await super().get(path, offset, length)


class Shelf:
    """Groups 1 and 2 of a shard each, which share nothing."""

    def __init__(self, folder: Path) -> None:
        self.store = Archived()
        self.shards = [self._made(folder, epoch) for epoch in (1, 2)]

    def _made(self, folder: Path, epoch: int) -> ShardEntry:
        tar = shard_tar({"payload": random.Random(epoch).randbytes(300_000)})
        found = capture(self.store, folder, tar, kept=None if epoch == 1 else ())
        entry = replace(
            shard("docs", 0),
            recipe=found.recipe_digest,
            tar_sha256=found.tar_sha256,
            size_bytes=found.size_bytes,
        )
        made = manifest(epoch, (entry,))
        asyncio.run(self.store.put(PATHS.group(Epoch(epoch)), encode(made)))
        return entry

    def damage(self, *, deep: bool = False) -> tuple[str, ...]:
        return asyncio.run(find_damage(self.store, PATHS, self.shards[1:], deep=deep))

    def newest(self) -> Epoch | None:
        return asyncio.run(newest_whole(self.store, PATHS, ["docs"], but=Epoch(2)))

    @property
    def packs(self) -> list[str]:
        """In the order of their making."""
        return [path for path in self.store.objects if "/packs/" in path]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_whole_backup_has_no_damage(shelf: Shelf) -> None:
    assert shelf.damage() == shelf.damage(deep=True) == ()


def test_backups_of_other_collections_do_not_hide_a_whole_one(shelf: Shelf) -> None:
    """However many there are since."""
    for epoch in range(3, 30):
        made = manifest(epoch, (shard("others", 0),))
        asyncio.run(shelf.store.put(PATHS.group(Epoch(epoch)), encode(made)))
    assert shelf.newest() == 1


@pytest.mark.parametrize("short", [True, False])
def test_missing_and_short_packs_are_named_with_another_backup(short: bool, shelf: Shelf) -> None:
    _, pack = shelf.packs
    if short:
        shelf.store.objects[pack] = shelf.store.objects[pack][:-1]
    else:
        del shelf.store.objects[pack]
    (found,) = shelf.damage()
    assert pack in found
    assert advice(shelf.newest()).startswith("the newest whole backup is #1")
    for left in shelf.packs:
        del shelf.store.objects[left]
    assert shelf.newest() is None
    assert "no other backup" in advice(None)


def test_a_flipped_byte_is_found_by_reading_and_known_from_then_on(shelf: Shelf) -> None:
    pack = shelf.packs[1]
    data = bytearray(shelf.store.objects[pack])
    data[100] ^= 1
    shelf.store.objects[pack] = bytes(data)
    assert shelf.damage() == ()
    assert "block" in shelf.damage(deep=True)[0]
    record = VerificationRecord(
        level=Level.ALL,
        epoch=Epoch(2),
        at="2026-01-02T00:00:00.000Z",
        problems=("wrong",),
        damaged=(shelf.shards[1].recipe,),
    )
    asyncio.run(put_check(shelf.store, PATHS, record))
    assert "docs/0 was found damaged" in shelf.damage()[0]


def test_an_archive_is_met_before_anything_is_created(shelf: Shelf) -> None:
    """Its objects are listed as any others."""
    shelf.store.archived = True
    with pytest.raises(Refused, match="archive"):
        shelf.damage()
