"""What a restore's plan says, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.cluster.collection_config import (
    creation,
    indexes,
    is_as_created,
    later_optimizers,
    later_params,
    shape_of,
    strict_mode,
    vector_names,
)
from cleancut.core.points.columns import vector_columns
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch, PeerId
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.plan import PlacementPlan, check_plan, make_plan
from cleancut.core.restore.target import Target
from cleancut.core.verification.canaries import tolerance_of
from tests.support.restore_groups import MB, collection, group, info_of, shard, target

ALL = RestoreRequest(backup=Epoch(4))


def _plan(*entries: Any, on: Target | None = None, **more: Any) -> PlacementPlan:
    return make_plan(group(*entries, **more), ALL, on or target())


def test_a_free_name_is_created_under_itself() -> None:
    """Nothing stands in the way; sizes, shards, counts and the warning for clients are told."""
    plan = check_plan(_plan(collection(aliases=("live",))))
    (planned,) = plan.collections
    assert (planned.action, planned.name, planned.published_as) == ("create", "docs", "docs")
    assert (planned.shards, planned.replicas, planned.size_bytes) == (2, 1, 2 * MB)
    assert (planned.points, planned.aliases) == (20, ("live",))
    assert any("visible under their own names" in warning for warning in plan.warnings)
    assert decode(PlacementPlan, encode(plan), "plan") == plan


@pytest.mark.parametrize(
    ("entry", "there", "words"),
    [
        (collection(), {"collections": ("docs",)}, "exists; restore in its place"),
        (collection(), {"aliases": (("docs", "other"),)}, "is an alias of 'other'"),
        (collection(".."), {}, "stop Qdrant's consensus"),
        (collection("x" * 207), {}, "bytes"),
        (collection(info=info_of(3)), {}, "3 shards and the backup 2"),
        (collection(aliases=("live",)), {"collections": ("live",)}, "name of a collection here"),
        (collection(aliases=("live",)), {"aliases": (("live", "o"),)}, "points to 'o' here"),
    ],
)
def test_what_stands_in_the_way_is_refused(entry: Any, there: dict[str, Any], words: str) -> None:
    plan = _plan(entry, on=target(**there))
    assert plan.collections[0].action == "refuse"
    assert words in plan.collections[0].reason
    with pytest.raises(Refused, match="cannot restore"):
        check_plan(plan)


def test_one_blocker_does_not_hide_the_others() -> None:
    plan = _plan(collection("a"), collection("b"), on=target(collections=("a", "b")))
    assert len(plan.blockers) == 2
    with pytest.raises(Refused, match="and 1 more"):
        check_plan(plan)


def test_only_what_is_asked_for_is_planned() -> None:
    """An blocker of a collection that is not wanted does not count."""
    request = RestoreRequest(backup=Epoch(4), collections=("b",))
    plan = make_plan(group(collection("a"), collection("b")), request, target(collections=("a",)))
    assert [planned.name for planned in check_plan(plan).collections] == ["b"]
    with pytest.raises(NotFound):
        make_plan(group(), RestoreRequest(backup=Epoch(4), collections=("no",)), target())


@pytest.mark.parametrize(
    ("source", "now", "words"),
    [
        ("1.17.1", "1.17.1", ""),
        ("1.17.1", "1.18.0", ""),
        ("1.18.3", "1.18.0", ""),
        ("1.17.5", "1.19.0", "more than one minor"),
        ("1.18.0", "1.17.9", "older than the backup's"),
        ("1.16.0", "1.17.0", "too old"),
        ("1.18.0", "2.18.0", "more than one minor"),
        ("1.18.0", "", "too old"),
    ],
)
def test_versions_are_the_same_minor_or_one_up(source: str, now: str, words: str) -> None:
    blockers = _plan(version=source, on=target(version=now)).blockers
    assert bool(blockers) == bool(words)
    assert all(words in blocker for blocker in blockers)


def test_every_peer_needs_an_agent() -> None:
    """Qdrant may place a shard on any peer, and only its agent can serve and count it there."""
    there = target(peers=2)
    lonely = replace(there.peers[1], agent=None)
    plan = _plan(on=replace(there, peers=(there.peers[0], lonely)))
    assert len(plan.blockers) == 1
    assert "has no connected agent" in plan.blockers[0]
    assert _plan(on=target(peers=0)).blockers == (
        "no Qdrant peer answers; start the cluster and an agent for each peer",
    )


def test_fewer_peers_than_replicas_is_a_warning() -> None:
    plan = _plan(collection(info=info_of(factor=3)), on=target(peers=2))
    assert plan.collections[0].replicas == 2
    assert not plan.blockers
    assert any("replication factor 3 on 2 peers" in warning for warning in plan.warnings)


def test_a_per_shard_backup_is_a_warning_and_its_counts_unknown() -> None:
    shards = (shard("docs", 0), shard("docs", 1, count=None, quiet=False))
    plan = _plan(shards=shards)
    assert plan.collections[0].points is None
    assert any("per shard only" in warning for warning in plan.warnings)


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 5), st.data())
def test_no_even_placement_exceeds_a_peers_bound(
    shards: int, factor: int, peers: int, data: st.DataObject
) -> None:
    """Whichever peers Qdrant takes, as long as it is even, the bound holds."""
    sizes = [data.draw(st.integers(1, 100)) * MB for _ in range(shards)]
    entry = collection(shards=shards, info=info_of(shards, factor))
    entries = tuple(shard("docs", number, size=size) for number, size in enumerate(sizes))
    plan = _plan(entry, shards=entries, on=target(peers=peers))
    held: dict[PeerId, list[int]] = {peer.peer_id: [] for peer in plan.peers}
    for number in range(shards):
        ties = {peer: data.draw(st.integers(0, 9)) for peer in held}
        order = sorted(held, key=lambda peer: (len(held[peer]), ties[peer]))
        for peer in order[: min(factor, peers)]:
            held[peer].append(sizes[number])
    for peer in plan.peers:
        assert len(held[peer.peer_id]) <= peer.shards_max
        assert sum(held[peer.peer_id]) <= peer.size_bytes_max


# Making a collection again


def test_bodies_carry_everything_and_strict_mode_comes_last() -> None:
    """Each part of the configuration goes where Qdrant takes it; unknown fields survive."""
    info = info_of(
        shards=6,
        factor=2,
        params={
            "sparse_vectors": {"s": {}},
            "read_fan_out_factor": 2,
            "read_fan_out_delay_ms": 100,
            "payload": {"memory": "on_disk"},
            "nothing": None,
        },
        hnsw_config={"m": 8, "new_field": 1},
        quantization_config={"scalar": {"type": "int8"}},
        strict_mode_config={"enabled": True, "write_rate_limit": 5},
        metadata={"owner": "x"},
    )
    body = creation(info)
    assert body["shard_number"] == 6
    assert body["replication_factor"] == 2
    assert body["vectors"] == {"size": 4, "distance": "Cosine"}
    assert body["sparse_vectors"] == {"s": {}}
    assert body["payload"] == {"memory": "on_disk"}
    assert "nothing" not in body
    assert body["hnsw_config"] == {"m": 8, "new_field": 1}
    assert body["optimizers_config"] == {"deleted_threshold": 0.2}
    assert body["wal_config"] == {"wal_capacity_mb": 1}
    assert body["quantization_config"] == {"scalar": {"type": "int8"}}
    assert body["metadata"] == {"owner": "x"}
    assert not {"strict_mode_config", "read_fan_out_factor", "optimizer_config"} & set(body)
    assert later_params(info) == {"read_fan_out_factor": 2, "read_fan_out_delay_ms": 100}
    assert strict_mode(info) == {"enabled": True, "write_rate_limit": 5}
    assert "quantization_config" not in creation(info_of())
    assert strict_mode(info_of()) == {}


def test_what_hides_points_is_set_once_they_are_counted() -> None:
    """A collection that is created with it does not show what is recovered into it."""
    info = info_of(optimizer_config={"deleted_threshold": 0.2, "prevent_unoptimized": True})
    assert creation(info)["optimizers_config"] == {"deleted_threshold": 0.2}
    assert later_optimizers(info) == {"prevent_unoptimized": True}
    assert later_optimizers(info_of()) == {}
    assert is_as_created(info, info_of(optimizer_config={"deleted_threshold": 0.2}))


def test_indexes_take_the_params_if_there_are_any() -> None:
    info = info_of() | {
        "payload_schema": {
            "b": {"data_type": "keyword", "points": 3},
            "a": {"data_type": "text", "params": {"type": "text", "lowercase": True}, "points": 1},
        }
    }
    assert list(indexes(info).items()) == [
        ("a", {"type": "text", "lowercase": True}),
        ("b", "keyword"),
    ]


def test_vectors_are_named_dense_first() -> None:
    assert vector_names(info_of()) == ("",)
    many = info_of(params={"vectors": {"b": {"size": 1}, "a": {"size": 2}}})
    assert vector_names(many) == ("a", "b")
    sparse = info_of(params={"vectors": {}, "sparse_vectors": {"s": {}}})
    assert vector_names(sparse) == ("s",)


def test_a_vector_may_be_named_as_a_parameter_is() -> None:
    """The unnamed one has a number under `size`, one of that name has parameters there."""
    one = {"size": 4, "distance": "Dot", "datatype": "float16"}
    named = {"config": {"params": {"vectors": {"size": one, "distance": one}}}}
    assert vector_names(named) == ("distance", "size")
    assert [(column.name, column.size) for column in vector_columns(named)] == [
        ("distance", 4),
        ("size", 4),
    ]
    assert set(shape_of(named["config"])["vectors"]) == {"distance", "size"}
    unnamed = {"config": {"params": {"vectors": one}}}
    assert vector_names(unnamed) == ("",)
    assert tolerance_of(named, "size") == tolerance_of(unnamed, "")


def test_a_collection_is_ours_only_if_its_configuration_is() -> None:
    assert is_as_created(info_of(), info_of() | {"status": "yellow"})
    assert not is_as_created(info_of(), info_of(shards=3))
    assert is_as_created(info_of(factor=2), info_of(factor=1), replicas=1)
    assert not is_as_created(info_of(factor=1), info_of(factor=1), replicas=2)


def test_the_digest_of_a_plan_changes_with_what_it_would_do() -> None:
    roomy = target()
    same = replace(roomy, peers=tuple(replace(p, free_bytes=10**12) for p in roomy.peers))
    assert _plan(on=roomy).digest == _plan(on=same).digest
    assert _plan(on=roomy).digest != _plan(on=target(collections=("docs",))).digest
