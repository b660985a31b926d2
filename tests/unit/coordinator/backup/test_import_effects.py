"""Imports in a store, and the coordinator that enters them: whole, fresh, found by their mark."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.backup.importing import Enter
from cleancut.core.format.manifest import CollectionEntry, Manifest, parse_manifest
from cleancut.core.format.snapshot_choice import ALONE, Choice
from cleancut.core.maintenance.garbage import IMPORT_ENTERED_S, IMPORT_KEPT_S
from cleancut.core.maintenance.retention import Policy
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch, OperationId, ShardId
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.requests import ImportRequest
from cleancut.importing.snapshot_file import read_snapshot
from cleancut.importing.upload import ImportPlan, drop_mark, upload
from cleancut.repository.shards.recipe_reader import missing_packs
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.backup.import_effects import LeaderImportEffects
from cleancut_coordinator.leader.cluster_id import establish
from tests.support.capturing import recorded
from tests.unit.coordinator.maintenance.test_gc_stops import PATHS, World

EPOCH = Epoch(9)
KEEP = Policy()


class Imports(World):
    """A cluster without a backup, and an import that its command has stored."""

    def __init__(self, folder: Path) -> None:
        super().__init__(KEEP, 0)
        self.file = folder / "docs-shard-0-x.snapshot"
        self.file.write_bytes(recorded("t0-shard0"))

    def stored(self, *, broken: bool = False) -> ImportRequest:
        file = read_snapshot(self.file, "a")
        if broken:
            self.file.write_bytes(b"")
        info = {"config": {"params": {}}}
        entry = CollectionEntry(name="docs", uuid="", info=info, shard_ids=(ShardId(0),))
        plan = ImportPlan(entry, [Choice(ShardId(0), "a", ALONE)], {"a": file})
        store, clock = self.store, self.clock
        called = upload(store, PATHS, plan, clock=clock, scratch=None, notice=lambda _line: None)
        return asyncio.run(called)

    def entered(self, request: ImportRequest) -> Manifest:
        async def run() -> Manifest:
            await establish(self.context, await self.etcd_token())
            effects = LeaderImportEffects(self.context, LeaderBackupEffects(self.context))
            sha256 = await effects.run(Enter(EPOCH, OperationId("i-1"), request))
            staged = PATHS.staged(EPOCH, str(sha256))
            return parse_manifest(await self.store.get(staged), staged)

        return asyncio.run(run())

    def of_imports(self) -> list[str]:
        folders = (PATHS.imports, PATHS.root + "packs/")
        return [path for path in self.store.objects if path.startswith(folders)]


@pytest.fixture
def world(tmp_path: Path) -> Imports:
    return Imports(tmp_path)


def test_what_is_whole_becomes_the_backup_of_the_next_epoch(world: Imports) -> None:
    manifest = world.entered(world.stored())
    assert (manifest.epoch, manifest.operation) == (EPOCH, "i-1")
    assert manifest.consistency is Consistency.IMPORTED
    assert manifest.imported is not None
    assert manifest.imported.files == ("a",)
    (shard,) = manifest.shards
    assert asyncio.run(missing_packs(world.store, PATHS, [shard.recipe])) == ()


def test_what_lacks_a_part_or_is_too_old_is_refused(world: Imports) -> None:
    request = world.stored()
    world.clock.shown_s += IMPORT_ENTERED_S + 1
    with pytest.raises(Refused, match="too long ago"):
        world.entered(request)
    world.clock.shown_s -= IMPORT_ENTERED_S + 1
    pack = next(path for path in world.store.objects if "/packs/" in path)
    del world.store.objects[pack]
    with pytest.raises(Refused, match="of the import: missing"):
        world.entered(request)
    asyncio.run(drop_mark(world.store, PATHS, request.import_id))
    with pytest.raises(Refused, match="the store holds no import"):
        world.entered(request)


def test_gc_keeps_what_may_be_entered_and_collects_it_after_that(world: Imports) -> None:
    world.stored()
    before = world.of_imports()
    for _ in range(3):
        world.gc()
    assert world.of_imports() == before
    world.clock.shown_s += IMPORT_KEPT_S + 1
    world.store.time_s += IMPORT_KEPT_S + 1
    for _ in range(3):
        world.gc()
    assert world.of_imports() == []


def test_an_upload_that_fails_drops_its_mark(world: Imports) -> None:
    with pytest.raises(Refused, match="became shorter"):
        world.stored(broken=True)
    assert [path for path in world.store.objects if path.startswith(PATHS.imports)] == []
