"""What a reader of a group is told: peers that nobody spoke for, replicas that diverge."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.backup.warnings import (
    divergent,
    excluded_unknown,
    not_drained,
    optimized,
    replayed_by_state,
    unseen_peers,
)
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import ReplicaEntry, ShardEntry
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import Standstill, WalEnd
from tests.support.groups import reading, shard


def twin(of: ShardEntry, count: int, **changes: object) -> ReplicaEntry:
    entry = ReplicaEntry(
        collection=of.collection,
        shard_id=of.shard_id,
        peer_id=PeerId(9),
        first=reading(41),
        second=reading(42),
        count=count,
    )
    return replace(entry, **changes)


def test_a_peer_without_an_agent_is_told() -> None:
    view = View(peers=(PeerId(1), PeerId(2)), collections=(), aliases=())
    assert unseen_peers(view, [PeerId(1), PeerId(2)]) == ()
    (told,) = unseen_peers(view, [PeerId(1), None])
    assert "peer 2" in told


def test_what_was_not_drained_is_told_with_its_reason() -> None:
    known = {"docs": "write_rate_limit with replicas"}
    first, second = not_drained({"wiki", "docs"}, known)
    assert "docs was not drained: write_rate_limit with replicas" in first
    assert "wiki was not drained: a drain" in second
    assert not_drained((), known) == ()


def test_replicas_that_diverge_are_told() -> None:
    """By name and by both counts; numbers of replicas mean nothing to each other."""
    cut = replace(shard("docs", 0), count=10)
    assert divergent([cut], [twin(cut, 10)]) == ()
    (told,) = divergent([cut], [twin(cut, 9)])
    for word in ("docs/0", "peer 9", "9 points", "10"):
        assert word in told


def test_nothing_is_said_of_what_was_not_quiet() -> None:
    """A count of a replica, or of a shard, that took writes proves nothing."""
    cut = replace(shard("docs", 0), count=10)
    assert divergent([cut], [twin(cut, 9, second=reading(43))]) == ()
    assert divergent([replace(cut, count=None)], [twin(cut, 9)]) == ()
    assert divergent([replace(shard("docs", 0, moved=1), count=10)], [twin(cut, 9)]) == ()
    assert divergent([cut], [twin(cut, 9, shard_id=ShardId(1))]) == ()


def test_shards_that_were_cut_under_optimization_are_told() -> None:
    """Not those that were taken over from an earlier backup: they were not cut."""
    cut = shard("docs", 0)
    assert cut.second.state is not None
    busy = replace(cut.second, state=replace(cut.second.state, optimizing=1))
    assert optimized([cut]) == ()
    assert optimized([replace(cut, second=busy, reused=True)]) == ()
    (told,) = optimized([cut, replace(cut, second=busy, shard_id=ShardId(7))])
    assert "optimizing: docs/7 cut" in told


def test_an_excluded_name_that_no_collection_has_is_a_warning() -> None:
    assert excluded_unknown(["docs"], ["docs", "logs"]) == ()
    (typo,) = excluded_unknown(["doc"], ["docs", "logs"])
    assert typo == "excluded collection 'doc' does not exist: did you mean `docs`?"


def test_what_a_replay_may_apply_to_other_points_is_a_warning() -> None:
    end = WalEnd("1:7", 12)
    still = Standstill(round=2, before=end, after=end, ack=6, first=6, by_state=True)
    shards = [
        replace(shard("c", number), standstill=replace(still, by_state=number != 1))
        for number in range(8)
    ]
    assert replayed_by_state([shard("c", 0), shards[1]]) == ()
    (warning,) = replayed_by_state(shards)
    assert "c/0, c/2, c/3, c/4, c/5 and 2 more" in warning
