"""Which way a segment file is captured, and what counts as a proof that it did not change."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.capture.proof import (
    FLUSHED_NAMES,
    SETTLED_NS,
    SMALL_APPENDABLE_BYTES,
    SMALL_BYTES,
    FileState,
    Way,
    classify,
    difference,
    was_set_back,
)

NOW = 1_800_000_000 * 10**9
OLD = NOW - SETTLED_NS
BIG = FileState(1, 2, 1 << 30, 1 << 30, OLD, OLD, 1)
PATH = "s/vector_storage/vectors/chunk_0.mmap"


def state(**changes: int) -> FileState:
    return msgspec.structs.replace(BIG, **changes)


def way(
    before: FileState = BIG,
    after: FileState | None = None,
    *,
    path: str = PATH,
    appendable: bool = False,
    recorded: FileState | None = None,
) -> Way:
    return classify(
        path,
        before,
        after or before,
        now_ns=NOW,
        appendable=appendable,
        recorded=recorded,
    ).way


def differs(
    later: FileState | None,
    *,
    at_path: tuple[int, int] | None = BIG.identity,
    confirmed: bool = False,
) -> str:
    return difference(BIG, later, at_path=at_path, confirmed=confirmed)


def test_an_unchanged_large_file_is_read_from_the_disk_or_kept_where_evidence_equals_it() -> None:
    assert way() is Way.DIRECT
    assert way(recorded=BIG) is Way.KEEP
    assert way(recorded=state(links=2, allocated_bytes=8)) is Way.KEEP


@pytest.mark.parametrize("field", ["device", "inode", "size_bytes", "mtime_ns", "ctime_ns"])
@pytest.mark.parametrize("by", [-1, 1])
def test_any_change_streams_the_file_or_ends_its_evidence(field: str, by: int) -> None:
    other = state(**{field: getattr(BIG, field) + by})
    assert way(BIG, other) is Way.STREAM
    assert way(recorded=other) is Way.DIRECT
    assert differs(other) != ""


@pytest.mark.parametrize(
    "name", [*sorted(FLUSHED_NAMES), "mutable_id_tracker.mappings", "segment.json"]
)
def test_what_a_flush_writes_is_streamed_in_whatever_directory(name: str) -> None:
    assert way(path=f"s/{name}", recorded=BIG) is Way.STREAM
    assert way(path=f"s/payload_index/x/{name}", recorded=BIG) is Way.STREAM


def test_small_files_are_streamed_by_what_they_hold_rather_than_by_their_length() -> None:
    for field in ("size_bytes", "allocated_bytes"):
        assert way(state(**{field: SMALL_BYTES - 1})) is Way.STREAM
        assert way(state(**{field: SMALL_BYTES})) is Way.DIRECT
        assert way(state(**{field: SMALL_APPENDABLE_BYTES - 1}), appendable=True) is Way.STREAM
        assert way(state(**{field: SMALL_APPENDABLE_BYTES}), appendable=True) is Way.DIRECT


@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
def test_a_file_is_streamed_while_its_times_are_young_or_in_the_future(field: str) -> None:
    assert way(state(**{field: OLD + 1})) is Way.STREAM
    future = state(**{field: NOW + 1})
    assert classify(PATH, future, future, now_ns=NOW, appendable=False, recorded=future).reason == (
        "its times lie in the future"
    )


def test_a_removed_file_is_streamed() -> None:
    assert way(state(links=0)) is Way.STREAM


def test_every_streamed_file_says_why() -> None:
    for choice in (
        classify(PATH, BIG, state(mtime_ns=1), now_ns=NOW, appendable=False, recorded=None),
        classify(PATH, BIG, BIG, now_ns=OLD, appendable=False, recorded=None),
        classify("s/tracker.dat", BIG, BIG, now_ns=NOW, appendable=False, recorded=None),
    ):
        assert choice.way is Way.STREAM
        assert choice.reason


def test_a_file_is_proven_if_its_state_and_its_path_are_as_before() -> None:
    assert differs(BIG) == ""
    assert differs(state(allocated_bytes=0, links=2)) == ""
    assert differs(BIG, at_path=(1, 3)) == "its path leads to another file"
    assert differs(BIG, at_path=None) == "its path leads nowhere"
    assert differs(None) == "gone"


def test_a_removed_file_is_proven_only_if_it_was_at_its_path_since_the_cut() -> None:
    """Its directory may have been renamed away before the cut, and removed after it."""
    removed = state(links=0, ctime_ns=NOW)
    assert differs(removed, at_path=None) == "removed since the request"
    assert differs(removed, at_path=None, confirmed=True) == ""
    assert differs(removed, at_path=(1, 3), confirmed=True) == ""
    written = state(links=0, ctime_ns=NOW, mtime_ns=NOW)
    assert differs(written, at_path=None, confirmed=True) != ""


def test_a_confirmed_file_may_lose_its_name_and_not_its_state() -> None:
    assert differs(BIG, at_path=None, confirmed=True) == ""
    for field in ("mtime_ns", "ctime_ns", "size_bytes", "inode"):
        other = state(**{field: getattr(BIG, field) + 1})
        assert differs(other, at_path=None, confirmed=True) != ""


_TIMES = st.integers(OLD - 2, NOW + 2)
_STATES = st.builds(
    FileState,
    device=st.integers(1, 2),
    inode=st.integers(1, 2),
    size_bytes=st.sampled_from([SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1]),
    allocated_bytes=st.sampled_from([0, SMALL_BYTES, SMALL_BYTES + 1]),
    mtime_ns=_TIMES,
    ctime_ns=_TIMES,
    links=st.integers(0, 2),
)


@given(_STATES, _STATES, _STATES, st.none() | _STATES, st.booleans())
def test_no_claim_without_equal_states_old_times_and_the_name(
    before: FileState,
    after: FileState,
    later: FileState,
    recorded: FileState | None,
    appendable: bool,
) -> None:
    chosen = classify(PATH, before, after, now_ns=NOW, appendable=appendable, recorded=recorded).way
    if chosen is Way.STREAM:
        return
    assert before.is_as(after)
    assert after.links
    assert not appendable
    assert max(after.mtime_ns, after.ctime_ns) <= NOW - SETTLED_NS
    assert (chosen is Way.KEEP) == (recorded is not None and recorded.is_as(after))
    for at_path in (None, later.identity, (9, 9)):
        reason = difference(after, later, at_path=at_path)
        if not reason:
            assert later.has_content_of(after)
            assert later.links
            assert later.is_as(after)
            assert at_path == after.identity


@pytest.mark.parametrize(
    ("wall_s", "passed_s", "back"),
    [(10, 10, False), (9.5, 10, False), (3595, 3600, False), (8, 10, True), (-50, 10, True)],
)
def test_a_clock_that_was_set_back_shows(wall_s: float, passed_s: float, back: bool) -> None:
    assert was_set_back(10**18, 10**18 + int(wall_s * 10**9), int(passed_s * 10**9)) is back
