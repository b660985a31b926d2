"""Comparison of sorted digests, and pairing of shards."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from cleancut.core.points.comparison import Change, PointDigest, compare, id_of, key_of
from cleancut.core.points.pairing import Pair, pairs_of
from cleancut.core.points.selection import PointId, order_of
from tests.support.groups import shard

IDS = some.integers(0, 2**64 - 1) | some.uuids().map(str)
POINTS = some.dictionaries(IDS, some.tuples(some.binary(max_size=1), some.binary(max_size=1)))


def digests(points: dict[PointId, tuple[bytes, bytes]]) -> list[PointDigest]:
    return sorted(PointDigest(key_of(one), *of) for one, of in points.items())


@given(POINTS, POINTS)
def test_each_point_is_judged_once(
    before: dict[PointId, tuple[bytes, bytes]], after: dict[PointId, tuple[bytes, bytes]]
) -> None:
    changes = [(id_of(key), change) for change, key in compare(digests(before), digests(after))]
    assert [one for one, _ in changes] == sorted({*before, *after}, key=order_of)
    for one, change in changes:
        if one not in after:
            assert change is Change.REMOVED
        elif one not in before:
            assert change is Change.ADDED
        else:
            vector, payload = (a != b for a, b in zip(before[one], after[one], strict=True))
            kinds = {
                (False, False): Change.NONE,
                (True, False): Change.VECTOR,
                (False, True): Change.PAYLOAD,
                (True, True): Change.BOTH,
            }
            assert change is kinds[vector, payload]


@given(some.lists(IDS))
def test_keys_sort_as_ids(ids: list[PointId]) -> None:
    assert sorted(ids, key=key_of) == sorted(ids, key=order_of)
    assert all(id_of(key_of(one)) == one for one in ids)
    assert id_of(key_of(str(uuid.UUID(int=1)))) == str(uuid.UUID(int=1))


def test_shards_pair_by_number_under_one_key_or_all_with_all() -> None:
    old = [shard("docs", 1), shard("docs", 2)]
    new = [shard("docs", 1), replace(shard("docs", 2), recipe="other")]
    assert pairs_of(old, new) == [
        Pair(None, (old[0],), (new[0],), equal=True),
        Pair(None, (old[1],), (new[1],)),
    ]
    assert pairs_of(old, new[:1]) == [Pair(None, tuple(old), tuple(new[:1]))]
    keyed = [replace(one, shard_key=key) for one, key in zip(old, ("eu", "us"), strict=True)]
    assert pairs_of(keyed, keyed[:1]) == [
        Pair("eu", (keyed[0],), (keyed[0],), equal=True),
        Pair("us", (keyed[1],), ()),
    ]
