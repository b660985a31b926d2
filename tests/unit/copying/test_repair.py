"""Repair of a group from another store: what is damaged is replaced, read again and recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.api.repairs import Repair
from cleancut.copying.repair import GroupRepair
from cleancut.copying.run import CopyRequest
from cleancut.copying.sides import Side, Sides
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, Refused, Unavailable
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Owner
from cleancut.repository.verification_log import read_damage
from cleancut.store.open import view_store
from cleancut.verification.verify import ReadShare, verify_group
from tests.support.capturing import PATHS
from tests.support.copied import (
    CLOCK,
    NO_KEY,
    FailingStore,
    TwoStores,
    copied_objects,
    key_file,
)

ONE = CopyRequest(backup="5")
FOLDERS = ["packs", "pages", "recipes", "votes", "staged", "groups"]


@pytest.fixture
def stores(tmp_path: Path) -> TwoStores:
    made = TwoStores(tmp_path)
    made.publish(5)
    made.copy(ONE)
    return made


def repaired(sides: Sides, backup: str = "5") -> Repair:
    """The source of a copy is repaired from it: the sides change places."""
    turned = Sides(sides.target, sides.source, sides.paths, same_key=False)
    return asyncio.run(GroupRepair(turned, backup, lambda _: None).run())


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "flipped"])
def test_each_kind_of_object_is_replaced(folder: str, lost: bool, stores: TwoStores) -> None:
    want = dict(stores.source.objects)
    path = stores.damage(stores.source, folder)
    if lost:
        del stores.source.objects[path]
    done = repaired(stores.sides())
    assert done.repaired == (PATHS.relative(path),)
    assert done.damaged == ()
    assert done.read_bytes > 0
    assert copied_objects(stores.source) == want


def test_a_whole_backup_is_only_read(stores: TwoStores) -> None:
    before = dict(stores.source.objects)
    done = repaired(stores.sides())
    assert (done.repaired, done.damaged, done.read_bytes) == ((), (), 0)
    assert stores.source.objects == before


def test_known_damage_ends_with_the_repair(stores: TwoStores) -> None:
    stores.damage(stores.source, "packs")

    async def verify() -> int:
        verdict = await verify_group(stores.view, PATHS, "5", ReadShare(), notice=lambda _: None)
        return len(verdict.missing)

    assert asyncio.run(verify()) == 1
    assert asyncio.run(read_damage(stores.view, PATHS)).recipes
    repaired(stores.sides())
    assert not asyncio.run(read_damage(stores.view, PATHS)).recipes


def test_what_neither_store_has_whole_is_named_and_left_alone(stores: TwoStores) -> None:
    path = stores.damage(stores.source, "packs")
    stores.damage(stores.target, "packs")
    before = stores.source.objects[path]
    done = repaired(stores.sides())
    assert done.repaired == ()
    assert path.rpartition("/")[2] in done.damaged[0]
    assert stores.source.objects[path] == before


@pytest.mark.parametrize("ends_at", range(1, 4))
def test_a_repair_that_ends_at_any_write_leaves_no_less_than_there_was(
    ends_at: int, stores: TwoStores
) -> None:
    good = dict(stores.source.objects)
    lost = [stores.damage(stores.source, folder) for folder in ("pages", "packs", "recipes")]
    before = dict(stores.source.objects)
    killed = FailingStore(stores.source, ends_at)
    site = Side("file:///site", view_store(killed, CLOCK, NO_KEY), NO_KEY)
    sides = Sides(stores.sides().target, site, PATHS, same_key=True)
    with pytest.raises(Unavailable, match="killed"):
        asyncio.run(GroupRepair(sides, "5", lambda _: None).run())
    after = stores.source.objects
    assert after.keys() == before.keys()
    assert all(after[path] in (good[path], before[path]) for path in after)
    assert sum(after[path] == good[path] for path in lost) == ends_at - 1


def test_a_manifest_that_neither_has_is_an_error(stores: TwoStores) -> None:
    for store in (stores.source, stores.target):
        store.objects[PATHS.group(Epoch(5))] = b"{}"
    with pytest.raises(Corrupt, match="no better"):
        repaired(stores.sides())


def test_another_clusters_store_repairs_nothing(stores: TwoStores) -> None:
    stores.damage(stores.source, "packs")
    stores.target.objects[PATHS.owner(1)] = encode(Owner(cluster_id="d" * 32))
    with pytest.raises(Refused, match="does not hold backups of this cluster"):
        repaired(stores.sides())


def test_a_store_under_another_key_repairs_an_encrypted_one(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path, key_file(tmp_path, "a"))
    stores.publish(5)
    other = key_file(tmp_path, "b")
    stores.copy(ONE, target_keys=other)
    path = stores.damage(stores.source, "packs")
    done = repaired(stores.sides(target_keys=other))
    assert done.repaired == (PATHS.relative(path),)
    assert done.damaged == ()
