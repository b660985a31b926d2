"""What a collection holds that its restore cannot have put there."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.restore.foreign_points import foreign_points

A, B, C = (ShardId(number) for number in range(3))
ONE, TWO = PeerId(1), PeerId(2)
AGENTS = {2: "qdrant-1"}
WANTED = {A: 100, B: 50, C: 7}


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {(A, ONE): 0, (B, ONE): 0, (C, TWO): 0},
        {(A, ONE): 100, (A, TWO): 0, (B, ONE): 50, (C, TWO): 7},
    ],
)
def test_shards_that_are_empty_or_whole_are_ours(
    counts: dict[tuple[ShardId, PeerId], int],
) -> None:
    assert foreign_points(WANTED, counts, agents=AGENTS) == ""


@pytest.mark.parametrize("count", [1, 99, 101, 150])
def test_any_other_number_is_not(count: int) -> None:
    counts = {(A, ONE): 100, (A, TWO): count, (B, ONE): 0}
    found = foreign_points(WANTED, counts, agents=AGENTS)
    assert found == f"shard 0 at qdrant-1 (peer 2) holds {count} points, the backup 100"


def test_a_shard_that_the_backup_does_not_have_is_empty_or_not_ours() -> None:
    assert foreign_points(WANTED, {(ShardId(9), ONE): 0}, agents=AGENTS) == ""
    assert "shard 9" in foreign_points(WANTED, {(ShardId(9), ONE): 1}, agents=AGENTS)


def test_a_shard_whose_count_the_backup_does_not_know_may_hold_anything() -> None:
    assert foreign_points({A: None}, {(A, ONE): 12}, agents=AGENTS) == ""
    assert foreign_points({A: None, B: 5}, {(B, ONE): 5}, total=77, agents=AGENTS) == ""


@pytest.mark.parametrize("total", [100, 107, 150, 157])
def test_what_other_peers_hold_is_some_of_their_shards(total: int) -> None:
    assert foreign_points(WANTED, {(A, ONE): 100}, total, agents=AGENTS) == ""


@pytest.mark.parametrize("total", [101, 149, 158])
def test_what_other_peers_hold_beyond_that_is_not_ours(total: int) -> None:
    found = foreign_points(WANTED, {(A, ONE): 100}, total, agents=AGENTS)
    assert f"hold {total - 100} points" in found


def test_thousands_of_shards_elsewhere_are_all_or_none() -> None:
    wanted: dict[ShardId, int | None] = {ShardId(n): 1 << (n % 40) for n in range(3000)}
    whole = sum(count or 0 for count in wanted.values())
    assert foreign_points(wanted, {}, 0, agents=AGENTS) == ""
    assert foreign_points(wanted, {}, whole, agents=AGENTS) == ""
    assert foreign_points(wanted, {}, whole + 1, agents=AGENTS)
