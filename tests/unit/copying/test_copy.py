"""Copies of groups: whole or not at all, resumed, incremental, damage refused by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.copying.run import CopyRequest, CopyRun
from cleancut.core.format.recipe import encode_format
from cleancut.core.maintenance.copying import Scope
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Denied, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Owner
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.catalog import list_epochs
from cleancut.repository.verification_log import list_checks, put_check
from cleancut.testing.memory_store import MemoryStore
from cleancut.verification.verify import ReadShare, verify_group
from tests.support.capturing import PATHS
from tests.support.copied import CLOCK, FailingStore, TwoStores, copied_objects, key_file

ONE = CopyRequest(backup="5")
LATEST = CopyRequest(backup="latest")
NEW = CopyRequest(scope=Scope.NEW)
ALL = CopyRequest(scope=Scope.ALL)


@pytest.fixture
def stores(tmp_path: Path) -> TwoStores:
    made = TwoStores(tmp_path)
    made.publish(5)
    return made


def test_a_copy_has_all_objects_of_the_source_and_a_log_of_its_own(stores: TwoStores) -> None:
    done = stores.copy(ONE)
    (one,) = done.backups
    assert (one.epoch, one.id, one.state, one.verified) == (5, "b-5", "copied", "all")
    assert not done.problems
    assert copied_objects(stores.target) == stores.source.objects
    assert one.size_bytes == done.size_bytes > 600_000
    checks = asyncio.run(list_checks(stores.target, PATHS))
    assert [check.good for check in checks] == [True]


def test_the_manifest_is_put_after_all_that_it_names(stores: TwoStores) -> None:
    stores.copy(ONE)
    kinds = [path.split("/")[1] for path in stores.target.puts]
    order = [kind for kind in dict.fromkeys(kinds) if kind != "verifications"]
    assert order.index("packs") < order.index("pages") < order.index("recipes")
    assert order[-1] == "groups"
    assert stores.target.puts.count(PATHS.group(Epoch(5))) == 1


def test_a_copy_killed_at_each_put_is_finished_by_the_next(stores: TwoStores) -> None:
    stores.copy(ONE)
    want, puts = copied_objects(stores.target), len(stores.target.puts)
    for ends_at in range(1, puts + 1):
        half = MemoryStore()
        try:
            stores.copy(ONE, target=FailingStore(half, ends_at))
        except Unavailable:
            published = asyncio.run(list_epochs(half, PATHS))
            assert published == [] or copied_objects(half) == want
        done = stores.copy(ONE, target=half)
        assert copied_objects(half) == want
        assert not done.problems
        assert asyncio.run(list_checks(half, PATHS))
    assert not any(path.startswith(PATHS.holds) for path in stores.source.objects)


def test_a_second_copy_moves_only_what_is_new(stores: TwoStores) -> None:
    stores.copy(ALL)
    before = dict(stores.target.objects)
    stores.publish(6, like=5)
    stores.target.puts.clear()
    done = stores.copy(NEW)
    assert [(one.epoch, one.state) for one in done.backups] == [(6, "copied")]
    assert not [path for path in stores.target.puts if path in before and "/owner/" not in path]
    assert stores.copy(NEW).backups == ()
    assert [one.state for one in stores.copy(ALL).backups] == ["unchanged", "unchanged"]


def test_a_copy_that_ended_before_it_was_verified_is_verified_by_the_next(
    stores: TwoStores,
) -> None:
    stores.copy(NEW)
    log = [path for path in stores.target.objects if path.startswith(PATHS.verifications)]
    for path in log:
        del stores.target.objects[path]
    done = stores.copy(NEW)
    assert [(one.state, one.verified) for one in done.backups] == [("unchanged", "all")]
    assert stores.copy(NEW).backups == ()


def test_all_puts_again_what_a_published_copy_lacks(stores: TwoStores) -> None:
    stores.copy(ALL)
    want = copied_objects(stores.target)
    lost = next(path for path in stores.target.objects if "/packs/" in path)
    del stores.target.objects[lost]
    done = stores.copy(ALL)
    assert [(one.state, one.objects) for one in done.backups] == [("copied", 1)]
    assert copied_objects(stores.target) == want


@pytest.mark.parametrize("folder", ["packs", "pages", "recipes", "votes"])
def test_a_flipped_byte_is_refused_by_name_and_nothing_is_published(
    folder: str, stores: TwoStores
) -> None:
    path = stores.damage(stores.source, folder)
    done = stores.copy(ONE)
    (one,) = done.backups
    assert path.rpartition("/")[2] in one.why
    assert "backup #5" in one.why
    assert asyncio.run(list_epochs(stores.target, PATHS)) == []
    assert path not in stores.target.objects


def test_a_damaged_backup_keeps_no_other_from_its_turn(stores: TwoStores) -> None:
    before = set(stores.source.objects)
    stores.publish(6)
    pack = next(p for p in stores.source.objects if p not in before and "/packs/" in p)
    stores.source.objects[pack] = stores.source.objects[pack][:-9] + b"123456789"
    done = stores.copy(NEW)
    assert [(one.epoch, one.state) for one in done.backups] == [(5, "copied"), (6, "failed")]


def test_backups_that_are_known_to_be_damaged_or_corrupt_are_named(stores: TwoStores) -> None:
    six = stores.publish(6)
    stores.publish(7)
    stores.source.objects[PATHS.group(Epoch(7))] = b"{}"
    found = VerificationRecord(
        level=Level.ALL,
        epoch=Epoch(6),
        at="2026-01-01T00:00:00Z",
        problems=("bad",),
        damaged=(six.shards[1].recipe,),
    )
    asyncio.run(put_check(stores.source, PATHS, found))
    states = {one.epoch: (one.state, one.why) for one in stores.copy(NEW).backups}
    assert states[5] == ("copied", "")
    assert states[6][0] == states[7][0] == "failed"
    assert "docs/1 is damaged" in states[6][1]
    assert "complete manifest" in states[7][1]


def test_a_lost_pack_is_named_before_anything_is_put(stores: TwoStores) -> None:
    path = next(one for one in stores.source.objects if "/packs/" in one)
    del stores.source.objects[path]
    (one,) = stores.copy(ONE).backups
    assert path in one.why
    assert "docs/" in one.why
    assert not [p for p in stores.target.objects if p.split("/")[1] in {"packs", "groups"}]


def test_deletion_takes_precedence_on_both_sides(stores: TwoStores) -> None:
    stores.publish(6)
    stores.source.objects[PATHS.tombstone(Epoch(6))] = b"{}"
    stores.target.objects[PATHS.owner(1)] = encode(Owner(cluster_id="c" * 32))
    stores.target.objects[PATHS.tombstone(Epoch(5))] = b"{}"
    done = stores.copy(NEW)
    assert [(one.epoch, one.state) for one in done.backups] == [(5, "left out")]
    assert not done.problems
    assert stores.copy(ONE).problems
    with pytest.raises(NotFound, match="deleted"):
        stores.copy(CopyRequest(backup="6"))


def test_holds_stay_where_they_are(stores: TwoStores) -> None:
    path = PATHS.hold(Epoch(5), OperationId("label.audit"))
    stores.source.objects[path] = encode(
        Hold(operation=OperationId("label.audit"), created_at="", expires_at="")
    )
    stores.copy(ONE)
    assert path not in stores.target.objects
    assert path in stores.source.objects


def test_another_cluster_of_the_same_name_is_refused(stores: TwoStores) -> None:
    stores.target.objects[PATHS.format] = encode_format()
    stores.target.objects[PATHS.owner(1)] = encode(Owner(cluster_id="d" * 32))
    with pytest.raises(Refused, match="another cluster of this name"):
        stores.copy(ONE)
    assert not [path for path in stores.target.objects if "/packs/" in path]


def test_a_copy_that_a_cluster_has_adopted_takes_no_more(stores: TwoStores) -> None:
    stores.copy(ONE)
    stores.target.objects[PATHS.owner(2)] = encode(Owner(cluster_id="d" * 32))
    with pytest.raises(Refused, match="another cluster"):
        stores.copy(NEW)


def test_backups_without_an_owner_are_refused(stores: TwoStores) -> None:
    stores.target.objects[PATHS.group(Epoch(9))] = b"{}"
    with pytest.raises(Refused, match="another cluster"):
        stores.copy(ONE)


def test_a_copy_onto_itself_is_refused_whatever_the_url(stores: TwoStores) -> None:
    before = dict(stores.source.objects)
    with pytest.raises(Refused, match="source itself"):
        stores.copy(ONE, target=stores.source)
    assert stores.source.objects == before


def test_encrypted_objects_go_as_they_are(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path, key_file(tmp_path, "a"))
    stores.publish(5)
    assert not stores.copy(LATEST).problems
    assert copied_objects(stores.target) == stores.source.objects
    path = stores.damage(stores.source, "packs")
    (one,) = stores.copy(ONE, target=MemoryStore()).backups
    assert "authentication" in one.why
    assert path in one.why


def test_a_copy_under_another_key_opens_with_that_key_alone(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path, key_file(tmp_path, "a"))
    stores.publish(5)
    other = key_file(tmp_path, "b")
    assert not stores.copy(ONE, target_keys=other).problems
    assert set(copied_objects(stores.target)) - set(stores.source.objects) != set()
    again = stores.copy(ALL, target_keys=other)
    assert [one.state for one in again.backups] == ["unchanged"]
    with pytest.raises(Refused, match="data keys of its own"):
        stores.copy(ONE)
    view = stores.sides(target_keys=other).target.opened.store
    verdict = asyncio.run(verify_group(view, PATHS, "5", ReadShare(), notice=lambda _: None))
    assert not verdict.problems + verdict.missing


def test_a_plain_source_may_be_copied_under_a_key(stores: TwoStores, tmp_path: Path) -> None:
    assert not stores.copy(ONE, target_keys=key_file(tmp_path, "b")).problems
    assert all(
        data.startswith(b"CLEANENC")
        for path, data in stores.target.objects.items()
        if "/packs/" in path
    )
    with pytest.raises(Denied):
        stores.copy(ONE)


def test_two_copies_at_once_end_as_one(stores: TwoStores) -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                run = CopyRun(stores.sides(), NEW, CLOCK, lambda _: None)
                group.create_task(run.run())

    asyncio.run(both())
    assert copied_objects(stores.target) == stores.source.objects


class ReadOnly(MemoryStore):
    async def put(self, path: str, data: bytes) -> None:
        raise Denied(f"no permission for {path}")


def test_a_source_that_takes_no_hold_is_copied_with_a_warning(stores: TwoStores) -> None:
    locked = ReadOnly()
    locked.objects = dict(stores.source.objects)
    stores.source = locked
    done = stores.copy(ONE)
    assert not done.problems
    assert "takes no hold" in done.warnings[0]


def test_a_copy_that_is_known_to_be_damaged_is_not_told_to_be_there(stores: TwoStores) -> None:
    """By one command as by another: a verification of the target has found it."""
    stores.copy(NEW)
    stores.damage(stores.target, "packs")
    look = verify_group(stores.target, PATHS, "5", ReadShare(100), notice=lambda _: None)
    found = asyncio.run(look)
    assert found.missing + found.problems
    for request in (NEW, ONE, ALL):
        done = stores.copy(request)
        assert done.problems, request
        assert "is damaged" in done.problems[0]
