"""Which reshards follow a restore that is asked for other numbers of shards."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import CollectionEntry, Manifest
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, Epoch, ShardId
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber
from cleancut.core.restore.names import created_as
from cleancut.core.restore.plan import PlacementPlan, make_plan
from cleancut.core.restore.target import Target
from tests.support.restore_groups import MB, collection, group, info_of, shard, target

ID = "r-0123456789abcdef"


def _keyed(name: str = "docs") -> tuple[CollectionEntry, list[Any]]:
    """Key `eu` with two shards, and the number 7 with one."""
    keys: tuple[tuple[str | int, tuple[ShardId, ...]], ...] = (
        ("eu", (ShardId(1), ShardId(2))),
        (7, (ShardId(3),)),
    )
    info = info_of(1, params={"sharding_method": "custom", "shard_number": 1})
    entry = replace(
        collection(name, info=info),
        shard_keys=keys,
        shard_ids=tuple(ShardId(number) for number in (1, 2, 3)),
    )
    shards = [replace(shard(name, n), shard_key=key) for key, ids in keys for n in ids]
    return entry, shards


def _plan(
    manifest: Manifest, *asked: tuple[str, int], on: Target | None = None, **request: Any
) -> PlacementPlan:
    numbers = tuple(ShardNumber(of=of, shards=shards) for of, shards in asked)
    wanted = RestoreRequest(backup=Epoch(4), shards=numbers, **request)
    return make_plan(manifest, wanted, on or target(), ID)


def _steps(plan: PlacementPlan) -> list[tuple[str, Any, int, int]]:
    return [(one.collection, one.shard_key, one.shards, one.wanted) for one in plan.reshards]


def test_one_number_is_for_all_and_a_name_counts_more() -> None:
    """What has its number already is left alone."""
    two = group(collection("a", shards=2), collection("b", shards=3))
    assert _steps(_plan(two, ("", 3))) == [("a", None, 2, 3)]
    assert _steps(_plan(two, ("b", 1), ("", 6))) == [("a", None, 2, 6), ("b", None, 3, 1)]
    assert _steps(_plan(two, ("b", 3))) == []
    assert _plan(two, ("b", 3)).digest == _plan(two).digest
    assert _plan(two, ("b", 2)).digest != _plan(two).digest


def test_a_number_is_one_for_each_shard_key() -> None:
    entry, shards = _keyed()
    keyed = group(entry, shards=tuple(shards))
    assert _steps(_plan(keyed, ("", 2))) == [("docs", 7, 1, 2)]
    assert _steps(_plan(keyed, ("docs", 3))) == [("docs", "eu", 2, 3), ("docs", 7, 1, 3)]
    assert _steps(_plan(keyed, ("7", 4), ("", 1))) == [("docs", "eu", 2, 1), ("docs", 7, 1, 4)]
    assert any("only be restored with" in one for one in _plan(keyed, ("eu", 3)).warnings)


def test_bytes_and_time_grow_with_the_steps() -> None:
    """Up, each step moves the new shard's part, down that of the last one, to each replica."""
    docs = group(collection(shards=2))
    (up,) = _plan(docs, ("", 4), replicas=2).reshards
    assert (up.steps, up.size_bytes) == (2, 2 * (2 * MB // 3 + 2 * MB // 4))
    (down,) = _plan(docs, ("", 1)).reshards
    assert (down.steps, down.size_bytes) == (1, MB)
    assert up.estimated_s > down.estimated_s > 5.0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((("", 0),), "invalid number of shards"),
        ((("", 10_001),), "invalid number of shards"),
        ((("no", 2),), "'no', which is not restored"),
        ((("", 2), ("", 3)), "given twice"),
    ],
)
def test_what_contradicts_the_backup_is_invalid(asked: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        _plan(group(), *asked)


def test_a_key_is_named_only_where_one_collection_is_restored() -> None:
    entry, shards = _keyed()
    both = group(entry, collection("b"), shards=(*shards, shard("b", 0), shard("b", 1)))
    with pytest.raises(Invalid, match="'eu', which is not restored"):
        _plan(both, ("eu", 3))
    assert _steps(_plan(both, ("eu", 3), collections=("docs",))) == [("docs", "eu", 2, 3)]
    with pytest.raises(Invalid, match="nor one of its shard keys") as wrong:
        _plan(both, ("us", 3), collections=("docs",))
    assert "eu, 7" in wrong.value.hint


def test_lost_shards_are_put_back_as_they_were() -> None:
    with pytest.raises(Invalid, match="repaired in place"):
        _plan(group(), ("", 3), collections=("docs",), only_shards=(ShardId(1),))


def test_a_qdrant_that_does_not_allow_it_is_a_blocker_with_the_setting() -> None:
    there = target(peers=2)
    off = replace(there.peers[1], reshards=False)
    off_there = replace(there, peers=(there.peers[0], off))
    (blocker,) = _plan(group(), ("", 3), on=off_there).blockers
    assert "QDRANT__CLUSTER__RESHARDING_ENABLED=true" in blocker
    assert not _plan(group(), ("", 2), on=off_there).blockers
    single = replace(there, peers=(replace(there.peers[0], peer_id=WITHOUT_CLUSTER),))
    (blocker,) = _plan(group(), ("", 3), on=single).blockers
    assert "without cluster mode" in blocker


def test_a_coordinator_of_an_older_version_is_a_blocker() -> None:
    """It would let the restore wait for ever, if it came to lead."""
    mixed = target(older=("coordinator c1 (0.0.9)",))
    (blocker,) = _plan(group(), ("", 3), on=mixed).blockers
    assert "coordinator c1 (0.0.9) of an older version" in blocker
    assert not _plan(group(), ("", 2), on=mixed).blockers


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"renames": (("docs", "copy"),)},
        {"beside": True},
        {"beside": True, "renames": (("docs", "copy"),)},
        {"replace": True},
    ],
)
@pytest.mark.parametrize("name", ["docs", f"docs@{ID}"])
def test_a_reshard_follows_under_the_name_that_is_created(
    request_: dict[str, Any], name: str
) -> None:
    renames = tuple((name, new) for _, new in request_.get("renames", ()))
    asked = RestoreRequest(backup=Epoch(4), **(request_ | {"renames": renames}))
    there = target(aliases=(("docs", "old"),)) if asked.replace else target()
    operation = "r-fedcba9876543210"
    (planned,) = make_plan(group(collection(name)), asked, there, operation).collections
    assert created_as(name, asked, operation) == planned.created_as
