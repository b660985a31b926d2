"""Plan of a reshard: its steps, where new shards lie, and what prevents it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.layout import Layout, LayoutCollection, LayoutPeer
from cleancut.core.cluster.resharding import Direction
from cleancut.core.cluster.view import ReplicaView
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.reshard.plan import (
    check_agreed,
    check_no_alias,
    check_reshard,
    make_reshard,
)


def replica(shard: int, peer: int, key: str | int | None = None) -> ReplicaView:
    return ReplicaView(shard_id=ShardId(shard), peer_id=PeerId(peer), state="Active", shard_key=key)


def peers(*free: int | None) -> tuple[LayoutPeer, ...]:
    return tuple(
        LayoutPeer(peer_id=PeerId(at), free_bytes=one, reshards=True)
        for at, one in enumerate(free, 1)
    )


def docs(*replicas: ReplicaView, factor: int = 1, size: int = 600) -> LayoutCollection:
    keyed = any(one.shard_key is not None for one in replicas)
    shards = sorted({one.shard_id for one in replicas})
    return LayoutCollection(
        name="docs",
        factor=factor,
        replicas=replicas,
        sizes=tuple((one, size) for one in shards),
        shard_number=None if keyed else len(shards),
    )


PAIR = docs(replica(0, 1), replica(1, 2))
KEYED = docs(replica(0, 1, "eu"), replica(1, 2, 7), replica(2, 3, "eu"))
CLUSTER = Layout(peers=peers(None, None, None), collections=(PAIR,))


def wanted(shards: int, key: str | None = None) -> ReshardRequest:
    return ReshardRequest(collection="docs", shards=shards, shard_key=key)


def test_up_and_down_go_one_shard_at_a_time_to_the_emptiest_peers() -> None:
    up = make_reshard(CLUSTER, wanted(4))
    assert [(s.shards, s.shard_id, s.peers) for s in up.steps] == [(3, 2, (3,)), (4, 3, (1,))]
    assert {step.direction for step in up.steps} == {Direction.UP}
    assert (up.steps[0].old, up.steps[0].new) == ((0, 1), (0, 1, 2))
    assert [step.size_bytes for step in up.steps] == [400, 300]
    down = make_reshard(CLUSTER, wanted(1))
    assert [(s.shards, s.shard_id, s.peers) for s in down.steps] == [(1, 1, (2,))]
    assert down.steps[0].direction is Direction.DOWN
    assert (up.blockers, down.blockers) == ((), ())


def test_a_new_shard_gets_as_many_replicas_as_the_factor_or_the_peers_allow() -> None:
    pair = docs(replica(0, 1), replica(0, 2), replica(1, 1), replica(1, 2), factor=5)
    plan = make_reshard(Layout(peers=peers(None, None, None), collections=(pair,)), wanted(3))
    assert plan.steps[0].peers == (3, 1, 2)
    assert "replication factor 5 on 3 peers" in plan.notes[0]


def test_of_two_peers_with_equal_numbers_the_one_with_more_space_is_taken() -> None:
    layout = Layout(peers=peers(10_000, 20_000, 30_000, 40_000), collections=(PAIR,))
    assert make_reshard(layout, wanted(3)).steps[0].peers == (4,)


def test_too_little_space_is_found_before_anything_moves() -> None:
    up = make_reshard(Layout(peers=peers(0, 0, 399), collections=(PAIR,)), wanted(3))
    assert up.blockers[0].startswith("peer 3 gets 0 MiB and has 0 MiB free")
    down = make_reshard(Layout(peers=peers(599, 0, 0), collections=(PAIR,)), wanted(1))
    assert down.blockers[0].startswith("peer 1 gets")
    assert make_reshard(Layout(peers=peers(600, 0, 0), collections=(PAIR,)), wanted(1)).steps


def test_n_shards_means_n_for_the_key() -> None:
    layout = Layout(peers=peers(None, None, None), collections=(KEYED,))
    up = make_reshard(layout, wanted(3, "eu"))
    assert (up.present, up.steps[0].shard_id, up.steps[0].new) == (2, 3, (0, 2, 3))
    number = make_reshard(layout, wanted(2, "7"))
    assert (number.shard_key, number.present, number.steps[0].old) == (7, 1, (1,))
    down = make_reshard(layout, wanted(1, "eu"))
    assert (down.steps[0].shard_id, down.steps[0].new) == (2, (0,))


def test_ids_that_qdrant_cannot_give_a_key_again_are_told() -> None:
    """Only the last key can grow in a row; a restore refuses the others as they are."""
    layout = Layout(peers=peers(None, None, None), collections=(KEYED,))
    (note,) = make_reshard(layout, wanted(3, "eu")).notes
    assert "key 'eu' will have the shards 0, 2, 3" in note
    assert "--shards and --offline" in note
    assert make_reshard(layout, wanted(1, "eu")).notes == ()
    last = docs(replica(1, 1, "eu"), replica(2, 2, "us"), replica(3, 3, "us"))
    growing = Layout(peers=peers(None, None, None), collections=(last,))
    assert make_reshard(growing, wanted(3, "us")).notes == ()


def test_keys_are_shown_in_the_order_of_their_numbers() -> None:
    numbers = docs(*(replica(at, 1, key) for at, key in enumerate((10, "a", 9), 1)))
    with pytest.raises(Refused, match="9, 10, 'a'"):
        make_reshard(Layout(peers=peers(None), collections=(numbers,)), wanted(3))


def test_a_keyed_collection_needs_a_key_and_is_refused_with_the_list() -> None:
    layout = Layout(peers=peers(None, None, None), collections=(KEYED,))
    with pytest.raises(Refused, match="has shard keys") as refused:
        make_reshard(layout, wanted(3))
    assert "7, 'eu'" in refused.value.message
    assert "--shard-key" in refused.value.hint
    with pytest.raises(NotFound, match="no shard key 'us'"):
        make_reshard(layout, wanted(3, "us"))
    with pytest.raises(Refused, match="has no shard keys"):
        make_reshard(CLUSTER, wanted(3, "eu"))


def test_a_number_that_is_there_needs_no_step() -> None:
    plan = make_reshard(CLUSTER, wanted(2))
    assert (plan.steps, plan.blockers) == ((), ())
    assert "has 2 shards already" in plan.notes[0]


@pytest.mark.parametrize("shards", [0, 10_001])
def test_numbers_that_no_collection_has_are_invalid(shards: int) -> None:
    with pytest.raises(Invalid, match="number of shards"):
        make_reshard(CLUSTER, wanted(shards))


def test_an_unknown_collection_is_not_found() -> None:
    with pytest.raises(NotFound, match="no collection"):
        make_reshard(Layout(peers=peers(None), collections=()), wanted(3))


def test_a_qdrant_that_does_not_allow_it_is_named_with_the_setting() -> None:
    off = tuple(replace(peer, reshards=peer.peer_id != 2) for peer in CLUSTER.peers)
    plan = make_reshard(Layout(peers=off, collections=(PAIR,)), wanted(3))
    (blocker,) = plan.blockers
    assert "at peer 2:" in blocker
    assert "QDRANT__CLUSTER__RESHARDING_ENABLED=true" in blocker
    assert "cluster.resharding_enabled" in blocker
    assert "restart them one by one" in blocker
    with pytest.raises(Refused, match="does not allow resharding"):
        check_reshard(plan)


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (replace(PAIR, resharding=True), "is being resharded"),
        (replace(PAIR, transfers=1), "transfers are under way"),
        (
            replace(PAIR, replicas=(replace(PAIR.replicas[0], state="Dead"), PAIR.replicas[1])),
            "is Dead",
        ),
    ],
)
def test_a_collection_that_is_not_at_rest_blocks_it(entry: LayoutCollection, word: str) -> None:
    other = replace(entry, name="other")
    plan = make_reshard(Layout(peers=CLUSTER.peers, collections=(entry, other)), wanted(3))
    assert word in plan.blockers[0]
    alone = make_reshard(Layout(peers=CLUSTER.peers, collections=(PAIR, other)), wanted(3))
    assert alone.blockers == ()


def test_a_holder_or_a_target_without_an_agent_blocks_it() -> None:
    for silent, blocked in ((1, True), (3, True), (4, False)):
        given = tuple(
            replace(peer, counted=peer.peer_id != silent) for peer in peers(None, None, None, 0)
        )
        plan = make_reshard(Layout(peers=given, collections=(PAIR,)), wanted(3))
        assert bool(plan.blockers) == blocked, silent


def test_another_plan_than_the_agreed_one_is_refused() -> None:
    plan = make_reshard(CLUSTER, wanted(3))
    grown = docs(*PAIR.replicas, size=700)
    same = make_reshard(Layout(peers=CLUSTER.peers, collections=(grown,)), wanted(3))
    check_agreed(same, plan.digest)
    with pytest.raises(Refused, match="has changed"):
        check_agreed(make_reshard(CLUSTER, wanted(4)), plan.digest)


def test_an_alias_is_answered_with_its_collection() -> None:
    """After `restore start --overwrite` the old name is one."""
    check_no_alias({"live": "docs"}, "docs")
    with pytest.raises(NotFound, match="'docs' is an alias") as caught:
        check_no_alias({"docs": "docs@r-0123456789abcdef"}, "docs")
    assert caught.value.hint.endswith("points to: docs@r-0123456789abcdef")
