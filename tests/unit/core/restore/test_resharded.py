"""The copy of a backup with other numbers of shards: its ids, its evidence, its plan."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId, ShardId
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.moment import Moment, MomentRequest
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber
from cleancut.core.restore.blockers import cannot_be_rebuilt
from cleancut.core.restore.plan import PlacementPlan, make_plan
from cleancut.core.restore.resharded import entry_of, groups_of, manifest_of, new_shard
from cleancut.core.restore.shard_numbers import Way, wanted_of
from tests.support.restore_groups import MB, collection, group, info_of, shard, target

MOMENT = Moment(asked=MomentRequest(at_ms=5), at_ms=4, instant=True, shards=())


def split_keys() -> CollectionEntry:
    """Key `eu` was resharded after `us` was made: Qdrant cannot give its shards their ids again."""
    info = info_of(1, params={"sharding_method": "custom", "shard_number": 1})
    return replace(
        collection(info=info),
        shard_ids=tuple(map(ShardId, (1, 2, 3))),
        shard_keys=(("us", (ShardId(2),)), ("eu", (ShardId(1), ShardId(3)))),
    )


def offline(*asked: tuple[str, int], version: str = "1.18.3", **more: Any) -> PlacementPlan:
    numbers = tuple(ShardNumber(of=of, shards=shards) for of, shards in asked)
    request = RestoreRequest(backup=Epoch(4), shards=numbers, offline=True, **more)
    return make_plan(group(collection(shards=3)), request, target(version=version))


def test_a_collection_without_keys_has_its_shards_from_0_on() -> None:
    entry = collection(shards=3)
    (one,) = groups_of([entry], {("docs", None): 5})
    assert (one.old, one.new, one.same) == ((0, 1, 2), (0, 1, 2, 3, 4), False)
    made = entry_of(entry, [one])
    assert made.shard_ids == (0, 1, 2, 3, 4)
    assert made.info["config"]["params"]["shard_number"] == 5
    assert entry.info["config"]["params"]["shard_number"] == 3
    assert cannot_be_rebuilt(made) == ""


def test_shards_under_keys_get_one_block_after_the_other() -> None:
    """So what Qdrant could not create again, it can; the order of the keys stays."""
    entry = split_keys()
    assert cannot_be_rebuilt(entry)
    groups = groups_of([entry], wanted_of([entry], [ShardNumber(of="eu", shards=3)]))
    made = entry_of(entry, groups)
    assert made.shard_keys == (("us", (4,)), ("eu", (1, 2, 3)))
    assert [one.same for one in groups] == [False, False]
    assert cannot_be_rebuilt(made) == ""


def test_what_keeps_its_ids_is_taken_as_it_is() -> None:
    two = [collection("a", shards=2), collection("b", shards=3)]
    groups = groups_of(two, wanted_of(two, [ShardNumber(of="b", shards=1)]))
    assert [(one.collection, one.same) for one in groups] == [("a", True), ("b", False)]


def test_a_built_shard_is_as_proven_as_its_least_source() -> None:
    """Its own count is exact either way, and compared only where the backup is proven."""
    quiet, moved = shard("docs", 0), shard("docs", 1, quiet=False)
    facts: dict[str, Any] = {
        "recipe": "r",
        "tar_sha256": "11" * 32,
        "size_bytes": 7,
        "stored_bytes": 5,
        "count": 20,
    }
    built = new_shard([quiet, quiet], ShardId(4), **facts)
    assert (built.shard_id, built.count, built.quiet, built.doubt) == (4, 20, True, "")
    doubtful = new_shard([quiet, moved], ShardId(0), **facts)
    assert (doubtful.quiet, doubtful.doubt) == (False, moved.doubt)
    made = manifest_of(
        group(),
        [entry_of(collection(), groups_of([collection()], {("docs", None): 1}))],
        [replace(built, shard_id=ShardId(0))],
        cluster=ClusterName("prod.reshard-1"),
        operation=OperationId("b-1"),
    )
    assert (made.epoch, made.consistency) == (1, Consistency.POINT_IN_TIME)
    assert any("backup #4" in warning for warning in made.warnings)


def test_a_plan_is_of_the_shards_that_are_built() -> None:
    plan = offline(("", 6))
    assert not plan.blockers
    (planned,) = plan.collections
    assert (planned.shards, planned.shard_ids) == (6, tuple(range(6)))
    (built,) = plan.reshards
    assert (built.way, built.shards, built.wanted, built.steps) == (Way.OFFLINE, 3, 6, 0)
    assert built.size_bytes == 3 * MB
    assert built.scratch_bytes > built.size_bytes
    assert built.estimated_s > 0
    assert not any("reshard" in warning for warning in plan.warnings)


def test_what_the_engine_builds_goes_to_servers_that_are_proven_to_load_it() -> None:
    assert not offline(("", 6), version="1.19.0").blockers
    blockers = offline(("", 6), version="1.17.1").blockers
    assert any("1.18 and 1.19, not in 1.17.1" in blocker for blocker in blockers)
    assert not any("built offline" in one for one in offline(("", 3), version="1.17.1").blockers)


@pytest.mark.parametrize("more", [{}, {"target": MOMENT}])
def test_what_cannot_be_built_offline_is_invalid(more: dict[str, Any]) -> None:
    asked = (("", 6),) if more else ()
    with pytest.raises(Invalid, match="offline"):
        offline(*asked, **more)
