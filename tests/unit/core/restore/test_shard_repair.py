"""Lost shards are put back in place only where nothing else could be meant or overwritten."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.collection_config import shape_of
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.plan import CollectionPlan, PlacementPlan, check_plan, make_plan
from cleancut.core.restore.target import FREE_STEP, LiveCollection, LiveReplica, Target
from tests.support.restore_groups import MB, collection, group, info_of, target


def _live(*placed: tuple[int, int], name: str = "docs", **more: Any) -> LiveCollection:
    """A collection with these (shard, peer) replicas."""
    given = {"uuid": f"uuid-{name}", "config": info_of(3)["config"]} | more
    return LiveCollection(
        name=name,
        replicas=tuple(
            LiveReplica(shard_id=ShardId(number), peer_id=PeerId(peer), state="Active")
            for number, peer in placed
        ),
        **given,
    )


def _there(*live: LiveCollection, peers: int = 3) -> Target:
    return target(peers=peers, collections=("docs",), live=live)


def _plan(on: Target, *, shards: tuple[int, ...] = (1,), peer: int | None = None) -> PlacementPlan:
    request = RestoreRequest(
        backup=Epoch(4),
        collections=("docs",),
        only_shards=tuple(ShardId(number) for number in shards),
        peer=None if peer is None else PeerId(peer),
    )
    return make_plan(group(collection(shards=3)), request, on, "r-1")


def _only(plan: PlacementPlan) -> CollectionPlan:
    (planned,) = check_plan(plan).collections
    return planned


LOST = _live((0, 1), (2, 2))


def test_a_lost_shard_goes_to_the_peer_with_the_fewest() -> None:
    """Nothing but that shard is planned, and no alias is touched."""
    plan = _plan(_there(LOST))
    planned = _only(plan)
    assert (planned.action, planned.created_as, planned.published_as) == ("repair", "docs", "docs")
    assert (planned.shard_ids, planned.shards, planned.replicas) == ((1,), 1, 1)
    assert (planned.repair_peer, planned.size_bytes, planned.points) == (3, MB, 10)
    assert (planned.aliases, planned.exists) == ((), "collection")
    assert [peer.shards_max for peer in plan.peers] == [0, 0, 1]
    assert any("epochs are mixed: shard 1 will be as of 2026-01-01" in t for t in plan.warnings)
    assert not any("recreated" in told for told in plan.warnings)
    assert not any("visible under" in told for told in plan.warnings)


def test_the_peer_can_be_chosen() -> None:
    assert _only(_plan(_there(LOST), peer=1)).repair_peer == 1
    assert "no peer 9" in _plan(_there(LOST), peer=9).blockers[0]
    there = _there(LOST)
    peers = (there.peers[0], replace(there.peers[1], agent=None), there.peers[2])
    reason = _plan(replace(there, peers=peers), peer=2).collections[0].reason
    assert "has no connected agent" in reason


def test_what_has_a_replica_is_not_repaired() -> None:
    """Whatever its state: it may hold newer data than the group."""
    dead = LiveReplica(shard_id=ShardId(1), peer_id=PeerId(2), state="Dead")
    plan = _plan(_there(replace(LOST, replicas=(*LOST.replicas, dead))))
    assert "(peer 2): nothing to repair" in plan.collections[0].reason
    assert plan.collections[0].action == "refuse"


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (target(), "no such collection exists"),
        (target(aliases=(("docs", "x"),)), "alias of x"),
        (target(collections=("docs",)), "could not be read"),
    ],
)
def test_only_a_collection_that_is_there_can_be_repaired(on: Target, words: str) -> None:
    assert words in _plan(on).collections[0].reason


def test_the_group_must_hold_the_shard() -> None:
    assert "holds no shard 7" in _plan(_there(LOST), shards=(7,)).collections[0].reason


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"vectors": {"size": 5, "distance": "Cosine"}}, "vectors are"),
        ({"vectors": {"size": 4, "distance": "Dot"}}, "vectors are"),
        ({"vectors": {"size": 4, "distance": "Cosine", "datatype": "uint8"}}, "vectors are"),
        ({"vectors": {"v": {"size": 4, "distance": "Cosine"}}}, "vectors are"),
        ({"sparse_vectors": {"s": {}}}, "sparse vectors are"),
        ({"shard_number": 4}, "shard number are"),
        ({"sharding_method": "custom"}, "sharding method are"),
    ],
)
def test_other_vectors_or_shards_are_refused(params: dict[str, Any], words: str) -> None:
    """Qdrant takes a shard of another shape without a word, and then cannot search it."""
    other = replace(LOST, config=info_of(3, params=params)["config"])
    assert words in _plan(_there(other)).collections[0].reason


def test_what_is_tuned_may_differ() -> None:
    params = {
        "vectors": {"size": 4, "distance": "Cosine", "on_disk": True, "datatype": "float32"},
        "sharding_method": "auto",
        "replication_factor": 2,
    }
    tuned = replace(LOST, config=info_of(3, params=params, hnsw_config={"m": 3})["config"])
    assert _only(_plan(_there(tuned))).action == "repair"
    sparse = {"s": {"modifier": "idf", "index": {"on_disk": True}}, "t": None}
    assert shape_of(info_of(params={"sparse_vectors": sparse})["config"])["sparse_vectors"] == {
        "s": ("idf", "float32"),
        "t": ("none", "float32"),
    }


def test_a_collection_that_was_made_anew_is_a_warning() -> None:
    plan = _plan(_there(replace(LOST, uuid="other")))
    assert _only(plan).action == "repair"
    assert any("recreated since the backup" in told for told in plan.warnings)


def test_the_shards_must_fit_on_that_peer() -> None:
    there = _there(LOST)
    small = replace(there.peers[2], free_bytes=0)
    plan = _plan(replace(there, peers=(*there.peers[:2], small)), shards=(1,))
    assert not plan.blockers, FREE_STEP
    big = group(collection(shards=3))
    shards = tuple(replace(one, size_bytes=FREE_STEP + 1) for one in big.shards)
    request = RestoreRequest(backup=Epoch(4), collections=("docs",), only_shards=(ShardId(1),))
    there = replace(there, peers=(*there.peers[:2], small))
    assert "(peer 3)" in make_plan(replace(big, shards=shards), request, there).blockers[0]
