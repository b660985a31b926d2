"""What a store's objects are named by, where some of them cannot be read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import Manifest
from cleancut.core.format.page import BLOCK_BYTES
from cleancut.core.format.recipe import OWN_PAGE_BLOCKS, named_by
from cleancut.core.maintenance.garbage import LiveSet
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, Refused, Unavailable
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.ports.store import ObjectInfo
from cleancut.repository.catalog import find_group, publish_group, put_staged
from cleancut.repository.garbage import ReferencedNames, read_holds, read_unknown
from cleancut.repository.holds import drop_reason, reasons_of
from cleancut.repository.shards.dedup import lost_packs
from cleancut.repository.shards.recipe_reader import load_recipe, missing_packs
from cleancut.repository.verification_log import put_check, read_damage
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import PATHS, SEGMENT, capture, restored, shard_tar
from tests.support.groups import manifest, shard

LARGE = OWN_PAGE_BLOCKS * BLOCK_BYTES + 1000


class Shelf:
    """Groups 20 and 30 of one captured shard each, with their staged manifests."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.groups = [self._made(folder, epoch) for epoch in (20, 30)]

    def _made(self, folder: Path, epoch: int) -> Manifest:
        tar = shard_tar({"payload": bytes([epoch]) * 300_000 + b"end"})
        recipe = capture(self.store, folder, tar).recipe_digest
        made = manifest(epoch, (replace(shard("docs", 0), recipe=recipe),))
        made = replace(made, operation=OperationId(f"b-{epoch}"))
        asyncio.run(put_staged(self.store, PATHS, Epoch(epoch), made))
        asyncio.run(publish_group(self.store, PATHS, made, encode(made)))
        return made

    def drop(self, prefix: str) -> None:
        for path in [one for one in self.store.objects if one.startswith(prefix)]:
            del self.store.objects[path]

    def named(self, number: int) -> list[str]:
        """All objects that the data of a group needs, under the cluster's folder."""
        digest = self.groups[number].shards[0].recipe
        recipe = asyncio.run(load_recipe(self.store, PATHS, digest))
        packs = [PATHS.pack(name) for name in named_by(recipe) if "/" in name]
        pages = [PATHS.page(name) for name in named_by(recipe) if "/" not in name]
        return [PATHS.relative(path) for path in (*packs, *pages, PATHS.recipe(digest))]

    def living(self) -> LiveSet:
        names = ReferencedNames(self.store, PATHS)
        return asyncio.run(names.living(used_epochs=(), now_s=0.0))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format": 1}'])
@pytest.mark.parametrize("staged", [True, False])
def test_an_unreadable_manifest_stops_no_collection(
    data: bytes, staged: bool, shelf: Shelf
) -> None:
    """What it names stays: known from its staged copy, or else all that it may name."""
    mine = shelf.named(1)
    shelf.store.objects[PATHS.group(Epoch(30))] = data
    if not staged:
        shelf.drop(PATHS.staged_documents(Epoch(30)))
    living = shelf.living()
    assert all(living.is_live(path) for path in (*mine, *shelf.named(0)))
    assert living.is_live(PATHS.relative(PATHS.group(Epoch(30))))
    assert living.is_live("recipes/aa/" + "a" * 64) is not staged
    assert not living.is_live("votes/000000000007/node/x.json")
    names = ReferencedNames(shelf.store, PATHS)
    assert list(asyncio.run(names.groups())) == [20]
    assert names.unreadable == (30,)


BAD = b"\xff{}"


def test_unreadable_records_stop_nothing_and_keep_what_they_may_keep(shelf: Shelf) -> None:
    """Holds and imports go on, seeds have nothing to lose; files that are none are passed over."""
    held, label = Epoch(20), OperationId("label.audit")
    store, hold = shelf.store, PATHS.hold(Epoch(20), label)
    for path in (
        hold,
        PATHS.seed(Epoch(25), "ab" * 32),
        PATHS.import_begun("i-1"),
        f"{PATHS.holds}README",
        f"{PATHS.holds_of(Epoch(30))}README",
        f"{PATHS.imports}README",
        f"{PATHS.garbage_lists}README",
    ):
        store.objects[path] = BAD
    living = shelf.living()
    assert living.is_live(PATHS.relative(hold))
    assert living.is_live(PATHS.relative(PATHS.import_begun("i-1")))
    assert asyncio.run(read_holds(store, PATHS, 1e12)) == ({PATHS.relative(hold)}, {held})
    assert asyncio.run(reasons_of(store, PATHS, held, 1e12)) == ("audit",)
    asyncio.run(drop_reason(store, PATHS, held, "audit"))
    assert asyncio.run(read_holds(store, PATHS, 1e12)) == (frozenset(), set())
    assert asyncio.run(read_unknown(store, PATHS)) == frozenset()
    store.objects[PATHS.garbage_list("000000000030-ab")] = BAD
    with pytest.raises(Corrupt, match="gc/000000000030-ab") as error:
        asyncio.run(read_unknown(store, PATHS))
    assert "reuse nothing" in error.value.hint


def test_an_unreadable_recipe_stops_no_collection(shelf: Shelf) -> None:
    mine = [path for path in shelf.named(0) if not path.startswith("recipes/")]
    shelf.store.objects[PATHS.recipe(shelf.groups[0].shards[0].recipe)] = b"damaged"
    living = shelf.living()
    assert all(living.is_live(path) for path in (*mine, *shelf.named(1)))


def test_retention_hears_of_damage(shelf: Shelf) -> None:
    """Of a group's own shards, and of packs that it shares with another."""
    found = VerificationRecord(
        level=Level.ALL,
        epoch=Epoch(30),
        at="2026-01-02T00:00:00.000Z",
        problems=("wrong",),
        damaged=(shelf.groups[1].shards[0].recipe,),
    )
    asyncio.run(put_check(shelf.store, PATHS, found))
    names = ReferencedNames(shelf.store, PATHS)
    groups = asyncio.run(names.groups())
    assert {epoch: one.facts.damaged for epoch, one in groups.items()} == {20: False, 30: True}


def test_what_tells_of_damage_outlives_its_backup(shelf: Shelf) -> None:
    """Others may use the same packs."""
    found = VerificationRecord(
        level=Level.ALL,
        epoch=Epoch(10),
        at="2026-01-02T00:00:00.000Z",
        problems=("wrong",),
        damaged=("r",),
    )
    asyncio.run(put_check(shelf.store, PATHS, found))
    (entry,) = asyncio.run(read_damage(shelf.store, PATHS)).entries
    assert shelf.living().is_live(entry)


def test_an_id_is_found_by_its_own_object(shelf: Shelf) -> None:
    shelf.store.objects[PATHS.group(Epoch(30))] = b"never read"
    assert asyncio.run(find_group(shelf.store, PATHS, "b-20")).epoch == 20
    assert shelf.living().is_live(PATHS.relative(PATHS.id_of(OperationId("b-20"), Epoch(20))))
    assert not shelf.living().is_live(PATHS.relative(PATHS.id_of(OperationId("b-9"), Epoch(9))))


def test_what_a_backup_has_kept_of_older_ones_stays(tmp_path: Path) -> None:
    """Five captures, of which each keeps most of the one before: once the first four are deleted,
    all that only they needed goes, and the last one is whole."""
    store, files, tar, made = MemoryStore(), dict[str, bytes](), b"", list[Manifest]()
    for epoch in range(1, 6):
        changed = {f"f{epoch}", "small"} if made else {f"f{n}" for n in range(1, 6)} | {"small"}
        for name in changed:
            size = 30_000 if name == "small" else 5_000_000 if epoch % 2 else LARGE
            files[name] = random.Random(f"{epoch} {name}").randbytes(size // 40) * 40
        tar = shard_tar(files)
        kept = {SEGMENT + name for name in files.keys() - changed}
        parent = made[-1].shards[0].recipe if made else ""
        found = capture(store, tmp_path, tar, parent, kept=kept)
        entry = replace(shard("docs", 0), recipe=found.recipe_digest, tar_sha256="")
        made.append(manifest(epoch, (entry,)))
        asyncio.run(publish_group(store, PATHS, made[-1], encode(made[-1])))
    names = ReferencedNames(store, PATHS)
    living = asyncio.run(names.living(used_epochs=(), now_s=0.0, gone=(1, 2, 3, 4)))
    before = len(store.objects)
    for path in list(store.objects):
        if not living.is_live(PATHS.relative(path)):
            del store.objects[path]
    newest = made[-1].shards[0].recipe
    assert len(store.objects) < before - 4
    assert restored(store, newest) == tar
    assert asyncio.run(missing_packs(store, PATHS, [newest])) == ()
    recipe = asyncio.run(load_recipe(store, PATHS, newest))
    assert asyncio.run(lost_packs(store, PATHS, [recipe])) == frozenset()
    assert {use.pack: use.live_bytes for use in recipe.packs}.items() <= names.live_bytes().items()


def test_a_deletion_frees_what_no_other_group_names(tmp_path: Path) -> None:
    """Two groups of one recipe free nothing alone; what cannot be read is not guessed."""
    store = MemoryStore()
    tar = shard_tar({"payload": random.Random(1).randbytes(300_000)})
    recipe = capture(store, tmp_path, tar).recipe_digest

    def put(epoch: int) -> None:
        made = manifest(epoch, (replace(shard("docs", 0), recipe=recipe),))
        made = replace(made, operation=OperationId(f"b-{epoch}"))
        asyncio.run(publish_group(store, PATHS, made, encode(made)))

    def freed(names: ReferencedNames) -> int | None:
        asyncio.run(names.groups())
        return asyncio.run(names.freed_by(Epoch(20)))

    put(20)
    names = ReferencedNames(store, PATHS)
    assert asyncio.run(names.count_unread()) == 1
    packs = [path for path in store.objects if "/packs/" in path]
    assert freed(names) == sum(len(store.objects[path]) for path in packs) > 300_000
    put(30)
    assert freed(names) == 0
    del store.objects[PATHS.recipe(recipe)]
    assert freed(ReferencedNames(store, PATHS)) is None


class Failing(MemoryStore):
    """Its reads of manifests are counted; after `limit` of them the store is away."""

    reads, limit = 0, 10**6

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path.startswith(PATHS.groups):
            self.reads += 1
            if self.reads > self.limit:
                raise Unavailable("the store is away")
        return await super().get(path, offset, length)


def test_a_reading_that_was_broken_off_goes_on_where_it_ended() -> None:
    store, count = Failing(), 70
    for epoch in range(1, count + 1):
        made = replace(manifest(epoch, ()), operation=OperationId(f"b-{epoch}"))
        asyncio.run(publish_group(store, PATHS, made, encode(made)))
    names, store.reads, store.limit = ReferencedNames(store, PATHS), 0, count - 2
    with pytest.raises(Unavailable):
        asyncio.run(names.groups())
    store.reads, store.limit = 0, 10**6
    assert len(asyncio.run(names.groups())) == count
    assert 0 < store.reads < 10


class CutOff(MemoryStore):
    """Its listings end before this path, as behind a proxy that cuts answers off."""

    before = "~"

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for info in super().list(prefix):
            if info.path < self.before:
                yield info


@pytest.mark.parametrize("known", ["seen before", "committed"])
def test_a_listing_that_is_cut_off_each_time_makes_no_garbage(shelf: Shelf, known: str) -> None:
    """Else the data of the backup that it leaves out would be deleted, by two runs alike."""
    names = ReferencedNames(shelf.store, PATHS)
    made = {30} if known == "committed" else set()
    if not made:
        asyncio.run(names.groups())
    shelf.store.__class__, shelf.store.before = CutOff, PATHS.group(Epoch(30))
    with pytest.raises(Refused, match="leaves out backup 30, which is there"):
        asyncio.run(names.living(used_epochs=(), now_s=0.0, expected=made))


@pytest.mark.parametrize("how", ["by hand", "with a tombstone"])
def test_a_backup_that_is_gone_is_not_missed(shelf: Shelf, how: str) -> None:
    names = ReferencedNames(shelf.store, PATHS)
    asyncio.run(names.groups())
    if how == "by hand":
        shelf.drop(PATHS.group(Epoch(30)))
    else:
        shelf.store.objects[PATHS.tombstone(Epoch(30))] = b"{}"
    found = asyncio.run(names.living(used_epochs=(), now_s=0.0, expected={30}))
    assert 30 not in found.epochs
