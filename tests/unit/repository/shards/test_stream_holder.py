"""A shard's stream that another peer has sent, as where a load balancer stands in front of all."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from cleancut.core.cluster.answering_peer import check_answering
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.qdrant.peer_view import readings_of
from cleancut.qdrant.responses import (
    CollectionTelemetry,
    RecoveryCounters,
    ShardTelemetry,
    Telemetry,
)
from cleancut.repository.shards.stream_holder import StreamHolder
from cleancut.repository.shards.tar_scanner import MemberData, MemberEnd, MemberStart
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import capture, recorded, shard_tar


def test_the_bytes_of_another_peer_are_never_stored_as_those_of_this_one(tmp_path: Path) -> None:
    """The number of one replica says nothing of the contents of another."""
    store, tar = MemoryStore(), shard_tar({"v": b"1" * 9000})
    for holder in (PeerId(1), PeerId(0)):  # 0: without cluster mode
        capture(store, tmp_path, tar, holder=holder, sizes=itertools.repeat(700))
    with pytest.raises(Refused, match=r"peer 2 was asked .* peer 1 answers"):
        capture(store, tmp_path, tar, holder=PeerId(2))


def test_a_real_stream_names_its_peer(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"peer 7 was asked .* peer \d+ answers"):
        capture(MemoryStore(), tmp_path, recorded("t0-shard0"), holder=PeerId(7))


def test_a_stream_that_names_no_peer_in_a_way_that_is_known() -> None:
    holder = StreamHolder(PeerId(1))
    for event in (MemberStart("replica_state.json", b"", 1), MemberData(memoryview(b"["))):
        holder.see(event)
    with pytest.raises(Corrupt, match="replica_state"):
        holder.see(MemberEnd(b""))


def test_another_peer_has_no_number_for_the_shards_of_this_one() -> None:
    shard = ShardTelemetry(0, None, 5, 0, "green", {1: "Active", 2: "Active"})
    seen = Telemetry(
        app_version="1.18.3",
        startup="s",
        peer_id=1,
        collections={"c": CollectionTelemetry("u", {}, {0: shard})},
        counters=RecoveryCounters(0, 0, 0, 0),
    )
    tasks = [
        ShardTask(collection="c", shard_id=ShardId(0), peer_id=PeerId(peer)) for peer in (1, 2)
    ]
    assert readings_of(seen, tasks).numbers == (5, None)


def test_another_peer_than_the_one_that_was_asked_answers_nothing() -> None:
    """Else a replica could be dropped because another one was counted in its place."""
    check_answering(PeerId(1), 1, "it")
    check_answering(PeerId(0), 7, "it")  # without cluster mode there are no ids
    check_answering(PeerId(1), None, "it")
    with pytest.raises(Refused, match="peer 1 was asked for it, and peer 2 answers") as refused:
        check_answering(PeerId(1), 2, "it")
    assert "load balancer" in refused.value.hint
