"""Views of the archive: when entries were seen although clocks step, and when chains were over."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.archive.records import ChainEnd, Look
from cleancut.core.archive.views import ended, steady
from cleancut.core.primitives.ids import PeerId, ShardId
from tests.support.archived import chain_of

HOUR_MS = 3_600_000
OLD = chain_of("old", created_at_ms=1_000)
NEW = replace(OLD, id="new", peer=PeerId(2), created_at_ms=5_000)


def seen(step_ms: int, wrong: range) -> list[Look]:
    """An entry a second, by a clock that is wrong for some of them."""
    return [Look(at_ms=1000 * n + (step_ms if n in wrong else 0), last=n) for n in range(20)]


def test_looks_of_a_clock_that_was_wrong_for_a_moment_are_left_out() -> None:
    right = seen(0, range(0))
    for step_ms in (HOUR_MS, -HOUR_MS, 3_000):
        found = steady(seen(step_ms, range(8, 11)))
        assert set(found) <= {*right, *(seen(step_ms, range(8, 11)))}
        assert [one for one in found if one.last not in {8, 9, 10}] == [
            one for one in right if one.last not in {8, 9, 10} and one in found
        ]
        assert not {HOUR_MS, -HOUR_MS} & {one.at_ms - 1000 * one.last for one in found}


def test_the_last_entry_is_seen_also_by_a_clock_that_was_put_back() -> None:
    found = steady(seen(-HOUR_MS, range(17, 20)))
    assert found[-1] == Look(at_ms=16_000, last=19)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_times_rise_with_entries(given_looks: list[tuple[int, int]]) -> None:
    looks = [Look(at_ms=at_ms, last=last) for at_ms, last in given_looks]
    found = steady(looks)
    for before, after in pairwise(found):
        assert before.at_ms <= after.at_ms
        assert before.last <= after.last
    assert max((one.last for one in looks), default=-1) == (found[-1].last if found else -1)
    ordered = sorted(looks, key=lambda look: (look.last, look.at_ms))
    if all(a.at_ms <= b.at_ms for a, b in pairwise(ordered)):
        assert found == ordered


def test_a_chain_is_over_when_another_one_follows_its_shard() -> None:
    """An agent that was lost says nothing of its end, and one that comes back says it late."""
    assert ended(OLD, None, [OLD]) is None
    assert ended(NEW, None, [OLD, NEW]) is None
    assert ended(OLD, None, [OLD, replace(NEW, shard=ShardId(1))]) is None
    found = ended(OLD, None, [OLD, NEW, replace(NEW, id="newest", created_at_ms=9_000)])
    assert found is not None
    assert (found.at_ms, found.reason) == (5_000, "another replica is followed since")
    late = ChainEnd(chain="old", last=7, at_ms=60_000, reason="replanned: away")
    found = ended(OLD, late, [OLD, NEW])
    assert found is not None
    assert (found.at_ms, found.last) == (5_000, 7)
    early = replace(late, at_ms=4_000)
    assert ended(OLD, early, [OLD, NEW]) == early
