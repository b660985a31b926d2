"""The hash ring: where a real server put these points, and that batches change nothing."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.cluster.hash_ring import HashRing, PointId

NUMBERS: list[PointId] = [*range(40), 2**32, 2**53 + 1, 2**63, 2**64 - 1]
UUIDS: list[PointId] = [
    uuid.UUID(int=at * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128) for at in range(1, 31)
]
IDS = st.one_of(st.integers(0, 2**64 - 1), st.uuids())


@pytest.mark.parametrize(
    ("shards", "ids", "placed"),
    [
        ([0, 1, 2], NUMBERS, "22222022011220220110212211211002211020021122"),
        ([0, 1, 2], UUIDS, "022000121220210022212110002221"),
        ([7, 8, 9], NUMBERS, "97997887999889787789998997779989977988988898"),
        ([7, 8, 9], UUIDS, "988887987779779888999889898889"),
    ],
)
def test_points_go_where_a_real_server_put_them(
    shards: list[int], ids: list[PointId], placed: str
) -> None:
    """Recorded from Qdrant 1.18.3: automatic sharding, and a key with shards 7 to 9."""
    assert "".join(map(str, HashRing(shards).shards_of(ids))) == placed


def test_the_order_of_the_shards_does_not_matter() -> None:
    """Only the set of ids makes the ring."""
    assert HashRing([9, 7, 8]).shards_of(NUMBERS) == HashRing([7, 8, 9]).shards_of(NUMBERS)


def test_one_shard_takes_everything() -> None:
    assert set(HashRing([4]).shards_of(NUMBERS + UUIDS)) == {4}
    assert HashRing([4]).shards_of([]) == []


@given(st.lists(IDS, min_size=1, max_size=50))
def test_a_batch_places_each_id_as_it_would_alone(ids: list[PointId]) -> None:
    """Numbers and uuids mixed, in any order."""
    ring = HashRing(range(5))
    assert ring.shards_of(ids) == [ring.shards_of([one])[0] for one in ids]


@given(IDS, st.integers(1, 6))
def test_a_further_shard_takes_points_or_leaves_them(point: PointId, count: int) -> None:
    """A ring is consistent: a point never moves between two old shards."""
    before, after = (HashRing(range(size)).shards_of([point])[0] for size in (count, count + 1))
    assert after in {before, count}
