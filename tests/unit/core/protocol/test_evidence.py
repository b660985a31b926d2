"""Evidence: a group is quiet only if nothing but our own drain can have been applied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.protocol.etcd_records import Parent, Reading, ShardState
from cleancut.core.protocol.evidence import (
    Consistency,
    consistency_of,
    doubt,
    is_quiet,
    is_unchanged,
    only_drained,
)
from tests.support.groups import SOUND

FIRST = Reading(number=5, incarnation="start", arrivals=2, state=SOUND)
SECOND = replace(FIRST, number=6)
numbers = st.none() | st.integers(0, 4)
readings = st.builds(
    Reading,
    number=numbers,
    incarnation=st.sampled_from(["", "a", "b"]),
    arrivals=st.integers(-1, 1),
    state=st.none()
    | st.builds(
        ShardState,
        status=st.sampled_from(["", "green", "yellow", "grey", "red", "blue"]),
        segment=st.sampled_from(["", "s", "t"]),
        optimizing=st.integers(-1, 1),
        optimized_at=st.sampled_from(["", "1", "2"]),
    ),
)


def check(first: Reading, second: Reading, quiet: bool, *, drained: bool = True) -> None:
    """Whether a shard with these readings is quiet."""
    assert is_quiet(first, second, drained=drained) is quiet


def test_only_the_drain_came() -> None:
    check(FIRST, SECOND, True)


def test_anything_else_is_not_quiet() -> None:
    """A write, no drain, a number that is not known, another start, an arrival: not quiet."""
    check(FIRST, replace(SECOND, number=7), False)
    check(FIRST, FIRST, False)
    check(FIRST, SECOND, False, drained=False)
    check(replace(FIRST, number=None), SECOND, False)
    check(FIRST, replace(SECOND, number=None), False)
    check(FIRST, replace(SECOND, incarnation="again"), False)
    check(replace(FIRST, incarnation=""), replace(SECOND, incarnation=""), False)
    check(FIRST, replace(SECOND, arrivals=3), False)
    check(replace(FIRST, arrivals=-1), replace(SECOND, arrivals=-1), False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "red"}, "its status is red"),
        ({"status": "purple"}, "its status is purple"),
        ({"status": ""}, "its status is unknown"),
        ({"optimizing": 1}, "an optimization was under way"),
        ({"optimizing": -1}, "its optimizations are unknown"),
        ({"segment": "other"}, "its segments were replaced"),
        ({"optimized_at": "2026"}, "an optimization began between the readings"),
    ],
)
def test_a_number_proves_nothing_of_such_a_shard(change: dict[str, Any], why: str) -> None:
    """A failed operation is applied again without a number, a remade shard counts from the start,
    and what is deleted while an optimization runs is not in a snapshot."""
    strange = replace(SOUND, **change)
    for first, second in (
        (FIRST, replace(SECOND, state=strange)),
        (replace(FIRST, state=strange), SECOND),
    ):
        assert doubt(first, second, drained=True) == why
        assert only_drained(first, second)
    check(replace(FIRST, state=None), SECOND, False)


def test_a_parent_is_the_same_shard_whole_and_at_rest() -> None:
    """Optimizations that came and went are no change; another shard under the same id is."""
    parent = Parent(second=FIRST, uuid="u")
    assert is_unchanged(parent, SECOND, "u")
    assert is_unchanged(parent, replace(SECOND, state=replace(SOUND, optimized_at="2026")), "u")
    assert not is_unchanged(parent, SECOND, "another")
    assert not is_unchanged(parent, replace(SECOND, number=7), "u")
    for change in ({"segment": "other"}, {"segment": ""}, {"status": "red"}, {"optimizing": 1}):
        strange = replace(SOUND, **change)  # type: ignore[arg-type]
        assert not is_unchanged(parent, replace(SECOND, state=strange), "u")
        before = Parent(second=replace(FIRST, state=strange), uuid="u")
        assert not is_unchanged(before, SECOND, "u")


@given(readings, readings, st.booleans())
def test_quiet_is_exactly_one_more_in_one_life(
    first: Reading, second: Reading, drained: bool
) -> None:
    """Whatever is read: quiet says that all of it is known, and that one operation came."""
    if is_quiet(first, second, drained=drained):
        assert drained
        assert first.number is not None
        assert replace(second, state=first.state) == replace(first, number=first.number + 1)
        assert first.incarnation
        assert first.arrivals >= 0
        for state in (first.state, second.state):
            assert state is not None
            assert state.status in {"green", "yellow", "grey"}
            assert state.optimizing == 0


@given(st.lists(st.booleans(), max_size=5))
def test_the_consistency_is_that_of_the_worst_shard(quiet: list[bool]) -> None:
    """One shard that moved makes a backup consistent per shard only; nothing can move in none."""
    expected = Consistency.PER_SHARD if False in quiet else Consistency.POINT_IN_TIME
    assert consistency_of(quiet) is expected


@given(readings, readings, st.booleans())
def test_a_shard_is_quiet_exactly_if_there_is_no_doubt(
    first: Reading, second: Reading, drained: bool
) -> None:
    """The words for people follow the same numbers as the consistency."""
    assert (doubt(first, second, drained=drained) == "") is is_quiet(first, second, drained=drained)
