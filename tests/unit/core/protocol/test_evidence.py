"""Evidence: a group is quiet only if nothing but our own drain can have been applied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.protocol.etcd_records import Reading
from cleancut.core.protocol.evidence import Consistency, consistency_of, doubt, is_quiet

FIRST = Reading(number=5, incarnation="start", arrivals=2)
SECOND = replace(FIRST, number=6)
numbers = st.none() | st.integers(0, 4)
readings = st.builds(
    Reading,
    number=numbers,
    incarnation=st.sampled_from(["", "a", "b"]),
    arrivals=st.integers(-1, 1),
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


@given(readings, readings, st.booleans())
def test_quiet_is_exactly_one_more_in_one_life(
    first: Reading, second: Reading, drained: bool
) -> None:
    """Whatever is read: quiet says that all of it is known, and that one operation came."""
    if is_quiet(first, second, drained=drained):
        assert drained
        assert first.number is not None
        assert second == replace(first, number=first.number + 1)
        assert first.incarnation
        assert first.arrivals >= 0


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
