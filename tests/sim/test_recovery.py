"""What an agent looks at before it recovers a shard."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from simulation.prehistory import points_of, stored
from simulation.qdrant import info_of
from simulation.replica import SimReplica
from tests.sim.bench import Bench

POINTS = points_of(0, 0)
(TAR,), OBJECTS = stored("sim", 0, 1)


def _recover(count: int | None, there: int, *, empty: bool, dirty: bool = False) -> SimReplica:
    """The only shard of a collection, of which the group says that it holds `count` points."""
    bench = Bench()
    bench.shared.store.objects.update(OBJECTS)
    bench.qdrant.create("docs", info_of(1, 1), "epoch 7", points=there)
    bench.qdrant.learn_all(PeerId(1))
    replica = bench.qdrant.peers[PeerId(1)].replicas["docs", 0]
    replica.dirty = dirty
    task = ShardTask(
        collection="docs",
        shard_id=ShardId(0),
        peer_id=PeerId(1),
        recipe=TAR.recipe_digest,
        tar_sha256=TAR.tar_sha256,
        size_bytes=TAR.size_bytes,
        count=count,
    )
    bench.run(bench.recovery().recover_all((task,), empty=empty))
    return replica


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("count", [POINTS, None])
def test_an_empty_shard_is_recovered(count: int | None, empty: bool) -> None:
    """By the first life of an agent and by a later one."""
    assert _recover(count, 0, empty=empty).content == POINTS


@pytest.mark.parametrize(
    ("count", "there", "empty"),
    [(POINTS, 5, True), (None, 5, True), (POINTS, POINTS, True), (POINTS, 5, False)],
)
def test_points_of_a_stranger_are_not_wiped(count: int | None, there: int, empty: bool) -> None:
    """Nor by an agent that was started anew, if the group knows how many points there should be."""
    with pytest.raises(Refused, match=f"holds {there} points before it is restored"):
        _recover(count, there, empty=empty)


@pytest.mark.parametrize("count", [POINTS, None])
def test_what_an_earlier_life_recovered_is_recovered_again(count: int | None) -> None:
    """An agent that was started anew cannot know whether it is whole."""
    assert _recover(count, POINTS, empty=False).tar == TAR.tar_sha256


def test_what_an_earlier_life_left_half_done_is_recovered() -> None:
    """It cannot be counted, and recovering it again is what repairs it."""
    assert not _recover(POINTS, 0, empty=False, dirty=True).dirty


def test_points_that_come_while_other_shards_are_recovered_are_not_wiped() -> None:
    """All shards were empty at first; the turn of the last one comes later, and it is looked at
    again then."""
    bench, shards = Bench(), 12
    bench.shared.store.objects.update(OBJECTS)
    bench.qdrant.create("docs", info_of(shards, 1), "epoch 7")
    bench.qdrant.learn_all(PeerId(1))
    tasks = tuple(
        ShardTask(
            collection="docs",
            shard_id=ShardId(number),
            peer_id=PeerId(1),
            recipe=TAR.recipe_digest,
            tar_sha256=TAR.tar_sha256,
            size_bytes=TAR.size_bytes,
        )
        for number in range(shards)
    )
    last = bench.qdrant.peers[PeerId(1)].replicas["docs", shards - 1]
    looked: list[float] = []

    def write() -> None:
        if not last.looked_s:  # not before the first look
            bench.world.after(0.005, write)
            return
        looked.append(last.looked_s)
        bench.qdrant.write(("docs", shards - 1))

    bench.world.after(0.001, write)
    with pytest.raises(Refused, match="points before it is restored"):
        bench.run(bench.recovery().recover_all(tasks, empty=True))
    assert looked
    assert last.content == 1
    assert last.tar != TAR.tar_sha256
