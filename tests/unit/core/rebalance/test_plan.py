"""What a rebalance plans, says, and refuses: single cases that people will meet."""

from __future__ import annotations

import pytest

from cleancut.core.cluster.layout import Layout, LayoutCollection, LayoutPeer
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.rebalance.plan import check_balance, make_balance

MB = 1_000_000


def replica(shard: int, peer: int, state: str = ACTIVE) -> ReplicaView:
    return ReplicaView(shard_id=ShardId(shard), peer_id=PeerId(peer), state=state)


def collection(
    *replicas: ReplicaView, name: str = "docs", factor: int = 1, size: int = MB
) -> LayoutCollection:
    ids = {r.shard_id for r in replicas}
    return LayoutCollection(
        name=name,
        factor=factor,
        replicas=replicas,
        sizes=tuple((number, size) for number in sorted(ids)),
        shard_number=max(ids) + 1,
    )


def layout(peers: int, *collections: LayoutCollection) -> Layout:
    return Layout(
        peers=tuple(
            LayoutPeer(peer_id=PeerId(1 + number), agent=f"qdrant-{number}")
            for number in range(peers)
        ),
        collections=collections,
    )


def told(plan: object) -> list[str]:
    return [str(step) for step in plan.steps]  # type: ignore[attr-defined]


def test_a_new_peer_gets_its_part() -> None:
    plan = make_balance(layout(3, collection(*(replica(n, 1 + n % 2) for n in range(6)))))
    assert told(plan) == [
        "move shard 0 of 'docs' (1 -> 3)",
        "move shard 1 of 'docs' (2 -> 3)",
    ]
    assert [load.shards_after for load in plan.peers] == [2, 2, 2]
    assert plan.moved_bytes == 2 * MB
    assert plan.notes == ()


def test_a_lost_replica_grows_anew_before_anything_moves() -> None:
    """RF 2 on three peers, one of which is new and empty."""
    there = [replica(0, 1), replica(0, 2), replica(1, 1), replica(2, 2)]
    plan = make_balance(layout(3, collection(*there, factor=2)))
    assert told(plan) == [
        "replicate shard 1 of 'docs' (1 -> 3)",
        "replicate shard 2 of 'docs' (2 -> 3)",
    ]


def test_surplus_replicas_stay_and_the_flag_is_named() -> None:
    """They may have been grown by hand; they are balanced as all others are."""
    there = [replica(0, 1), replica(0, 2), replica(1, 1), replica(1, 2)]
    plan = make_balance(layout(2, collection(*there)))
    assert plan.steps == ()
    assert plan.notes == (
        "docs: 2 replicas more than its replication factor 1 asks for stay;"
        " --drop-surplus drops them",
    )
    plan = make_balance(layout(4, collection(*there)))
    assert [step.action for step in plan.steps] == ["move", "move"]
    assert [load.shards_after for load in plan.peers] == [1, 1, 1, 1]


def test_surplus_replicas_are_dropped_on_request_and_that_is_said() -> None:
    there = layout(2, collection(replica(0, 1), replica(0, 2), replica(1, 2)))
    plan = make_balance(there, drop_surplus=True)
    assert told(plan) == ["drop shard 0 of 'docs' (2)"]
    assert plan.notes == (
        "docs: 1 replicas more than its replication factor 1 asks for are dropped",
    )


def test_a_target_without_an_agent_is_refused() -> None:
    """What it gets could not be counted; where nothing goes, nobody has to count."""
    entry = collection(*(replica(n, 1 + n % 2) for n in range(4)))
    peers = [LayoutPeer(peer_id=PeerId(n), counted=n == 1) for n in (1, 2)]
    assert make_balance(Layout(peers=tuple(peers), collections=(entry,))).blockers == ()
    peers.append(LayoutPeer(peer_id=PeerId(3), counted=False))
    plan = make_balance(Layout(peers=tuple(peers), collections=(entry,)))
    assert [step.target for step in plan.steps] == [3]
    assert len(plan.blockers) == 1
    assert "peer 3 has no agent" in plan.blockers[0]
    assert "start its cleancut-agent" in plan.blockers[0]


@pytest.mark.parametrize("silent", [1, 2, 3])
def test_a_drop_beside_a_replica_without_an_agent_is_refused(silent: int) -> None:
    """Each replica of the shard is counted by its own agent before any of them goes."""
    entry = collection(*(replica(0, peer) for peer in (1, 2, 3)), factor=2)
    peers = [LayoutPeer(peer_id=PeerId(n), counted=n != silent) for n in (1, 2, 3)]
    layout = Layout(peers=tuple(peers), collections=(entry,))
    plan = make_balance(layout, drop_surplus=True)
    assert [step.action for step in plan.steps] == ["drop"]
    assert f"peer {silent} has no agent" in plan.blockers[0]
    assert "start its cleancut-agent" in plan.blockers[0]
    assert make_balance(layout).blockers == ()  # nothing is dropped


def test_more_peers_than_replicas_are_explained() -> None:
    plan = make_balance(layout(4, collection(replica(0, 1), replica(1, 2))))
    assert plan.steps == ()
    assert "leave 2 of 4 peers empty" in plan.notes[0]
    assert "`cleancut reshard start docs`" in plan.notes[0]


def test_fewer_peers_than_replicas_are_explained() -> None:
    plan = make_balance(layout(1, collection(replica(0, 1), factor=2)))
    assert plan.steps == ()
    assert "add peers" in plan.notes[0]


def test_bytes_are_evened_only_where_it_is_worth_it() -> None:
    def sizes(*each: int) -> Layout:
        entry = LayoutCollection(
            name="docs",
            factor=1,
            replicas=(replica(0, 1), replica(1, 1), replica(2, 2), replica(3, 2)),
            sizes=tuple((ShardId(n), size) for n, size in enumerate(each)),
            shard_number=4,
        )
        return layout(2, entry)

    assert make_balance(sizes(105, 100, 95, 100)).steps == ()
    plan = make_balance(sizes(500, 500, 100, 100))
    assert [load.bytes_after for load in plan.peers] == [600, 600]
    assert len(plan.steps) == 2


def test_a_full_peer_gets_nothing_and_that_is_said() -> None:
    peers = (
        LayoutPeer(peer_id=PeerId(1)),
        LayoutPeer(peer_id=PeerId(2), free_bytes=MB - 1),
    )
    entry = collection(*(replica(n, 1) for n in range(4)))
    plan = make_balance(Layout(peers=peers, collections=(entry,)))
    assert plan.steps == ()
    assert plan.notes == ("docs: it cannot be spread evenly: not enough free space",)


def test_max_moves_takes_the_most_useful_steps_first() -> None:
    entry = collection(*(replica(n, 1) for n in range(4)), replica(4, 2), replica(5, 2))
    plan = make_balance(layout(3, entry), max_moves=1)
    assert told(plan) == ["move shard 0 of 'docs' (1 -> 3)"]
    assert plan.notes == ("1 more steps follow without --max-moves",)


def test_the_digest_names_what_is_done_not_what_it_weighs() -> None:
    def at(size: int, peers: int) -> str:
        entry = collection(*(replica(n, 1) for n in range(4)), size=size)
        return make_balance(layout(peers, entry)).digest

    assert at(MB, 2) == at(MB + 1, 2)
    assert at(MB, 2) != at(MB, 3)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (collection(replica(0, 1), replica(0, 2, "Dead")), "is Dead at qdrant-1 (peer 2)"),
        (collection(replica(0, 1), replica(2, 1)), "shard 1 has no replica left"),
        (collection(replica(0, 9)), "at peer 9, which is not in the cluster"),
        (
            LayoutCollection(name="docs", factor=1, replicas=(replica(0, 1),), transfers=1),
            "1 transfers are under way",
        ),
        (
            LayoutCollection(name="docs", factor=1, replicas=(replica(0, 1),), resharding=True),
            "it is being resharded",
        ),
    ],
)
def test_what_is_not_whole_is_refused(entry: LayoutCollection, words: str) -> None:
    plan = make_balance(layout(2, entry))
    assert plan.steps == ()
    assert words in plan.blockers[0]
    with pytest.raises(Refused, match="cannot rebalance"):
        check_balance(plan)


def test_a_silent_peer_is_refused() -> None:
    peers = (LayoutPeer(peer_id=PeerId(1)), LayoutPeer(peer_id=PeerId(2), answers=False))
    plan = make_balance(Layout(peers=peers, collections=(collection(replica(0, 1)),)))
    assert "peer 2 does not answer" in plan.blockers[0]
