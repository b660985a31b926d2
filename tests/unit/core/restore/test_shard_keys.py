"""Shard keys come back with their ids, from any interrupted prefix, in a model of Qdrant's rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import ShardId
from cleancut.core.restore.shard_keys import Key, KeyStep, fillers_there, steps, still_to_create

ShardKeys = tuple[tuple[Key, tuple[ShardId, ...]], ...]
NAMES = st.one_of(
    st.text(max_size=3), st.integers(0, 50), st.sampled_from(["cleancut-filler-1", "7"])
)


class Qdrant:
    """Next id = greatest live id + 1; an empty collection starts at 1."""

    def __init__(self) -> None:
        self.keys: dict[Key, tuple[int, ...]] = {}

    def create(self, key: Key, shards: int) -> None:
        assert key not in self.keys
        first = max((one for ids in self.keys.values() for one in ids), default=0) + 1
        self.keys[key] = tuple(range(first, first + shards))

    def delete(self, key: Key) -> None:
        del self.keys[key]


@st.composite
def histories(draw: st.DrawFn) -> ShardKeys:
    """The keys of a collection that has seen keys come and go."""
    qdrant = Qdrant()
    for name in draw(st.lists(NAMES, max_size=8, unique_by=lambda one: (type(one), one))):
        qdrant.create(name, draw(st.integers(1, 4)))
        for gone in draw(st.lists(st.sampled_from(sorted(qdrant.keys, key=repr)), max_size=2)):
            if gone in qdrant.keys and draw(st.booleans()):
                qdrant.delete(gone)
    ordered = sorted(qdrant.keys.items(), key=lambda item: item[1])
    return tuple((key, tuple(ShardId(one) for one in ids)) for key, ids in ordered)


def _carry_out(qdrant: Qdrant, plan: tuple[KeyStep, ...], changes: int) -> int:
    """Up to `changes` changes, as the coordinator makes them; how many were left over."""
    for step in still_to_create(plan, qdrant.keys):
        if not changes:
            return 0
        qdrant.create(step.key, step.shards)
        changes -= 1
    for key in fillers_there(plan, qdrant.keys):
        if not changes:
            return 0
        qdrant.delete(key)
        changes -= 1
    return changes


@given(histories(), st.lists(st.integers(0, 6), max_size=4))
def test_ids_come_out_identical_after_any_crashes(keys: ShardKeys, crashes: list[int]) -> None:
    """However often it is interrupted, all keys end with exactly their ids, and no filler stays."""
    plan, qdrant = steps(keys), Qdrant()
    for changes in crashes:
        _carry_out(qdrant, plan, changes)
    assert _carry_out(qdrant, plan, 1000) > 0
    assert qdrant.keys == dict(keys)


@given(histories())
def test_one_filler_a_gap_and_never_a_real_name(keys: ShardKeys) -> None:
    plan = steps(keys)
    fillers = [step for step in plan if step.filler]
    assert {step.key for step in fillers}.isdisjoint({key for key, _ in keys})
    assert len({step.key for step in plan}) == len(plan)
    assert all(not (a.filler and b.filler) for a, b in pairwise(plan))
    assert [one for step in plan for one in step.ids] == list(
        range(1, max((ids[-1] for _, ids in keys), default=0) + 1)
    )


@pytest.mark.parametrize("ids", [(2, 4), (), (0, 1), (3, 2)])
def test_ids_that_are_no_block_are_refused(ids: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match="insert the points"):
        steps((("a", tuple(ShardId(one) for one in ids)),))


def test_keys_that_share_ids_are_refused() -> None:
    one = (ShardId(1), ShardId(2))
    with pytest.raises(Refused, match="one block"):
        steps((("a", one), ("b", one)))


def test_wrong_ids_and_foreign_keys_are_told() -> None:
    """Both the ids that are there and those that should be."""
    plan = steps((("a", (ShardId(1),)), (7, (ShardId(2), ShardId(3)))))
    with pytest.raises(Refused, match=r"got the shards \[3, 4\] and not \[2, 3\]"):
        still_to_create(plan, {"a": (1,), 7: (3, 4)})
    with pytest.raises(Refused, match="'7' is not part of this restore"):
        still_to_create(plan, {"a": (1,), "7": (2, 3)})
