"""What of the archive may be deleted: nothing that a kept base, a hold or a living chain needs."""

from __future__ import annotations

import dataclasses

import pytest

from cleancut.core.archive.bases import ShardBase
from cleancut.core.archive.records import Chain, ChainEnd
from cleancut.core.archive.retention import ArchiveFacts, ChunkFacts, find_archive_garbage
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from tests.support.archived import chain_of

HOUR = 3_600_000
NOW = 1000 * HOUR
PLACE = "docs", ShardId(0)


def chain(name: str, age_h: int = 50) -> Chain:
    return chain_of(name, created_at_ms=NOW - age_h * HOUR)


def end(name: str, age_h: int) -> ChainEnd:
    return ChainEnd(chain=name, last=9, at_ms=NOW - age_h * HOUR, reason="replaced")


def chunk(path: str, age_h: int, *parts: tuple[str, int]) -> ChunkFacts:
    return ChunkFacts(path, NOW - age_h * HOUR, parts or None)


def base(epoch: int, name: str, first: int, age_h: int = 40) -> ShardBase:
    return ShardBase(Epoch(epoch), (NOW - age_h * HOUR) / 1000, PLACE, PeerId(1), name, first)


FACTS = ArchiveFacts(now_ms=NOW, keep_ms=100 * HOUR, grace_ms=24 * HOUR, chains={"a": chain("a")})


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        # what the oldest base does not need
        ({"bases": [base(1, "a", 10), base(2, "a", 30)]}, {"1"}),
        ({"bases": [base(2, "a", 30)]}, {"1", "2", "3"}),
        # no base yet: the chain lives, so one may come
        ({}, set()),
        ({"ends": {"a": end("a", 2)}}, set()),
        ({"ends": {"a": end("a", 30)}}, {"1", "2", "3", "4"}),
        ({"ends": {"a": end("a", 30)}, "following": {"a"}}, set()),
        # older than everything that is kept, base or not, but for a hold
        ({"keep_ms": HOUR, "bases": [base(1, "a", 10)]}, {"1", "2", "3", "4"}),
        ({"keep_ms": HOUR, "bases": [base(1, "a", 10)], "held": {Epoch(1)}}, {"1"}),
        ({"keep_ms": HOUR, "bases": [base(1, "a", 10)], "held": {Epoch(7)}}, {"1", "2", "3", "4"}),
        # a chain of which nothing is known
        ({"chains": {}}, {"1", "2", "3", "4"}),
    ],
)
def test_chunks_stay_while_a_base_or_a_hold_needs_them(
    change: dict[str, object], gone: set[str]
) -> None:
    chunks = [chunk(str(n), 40 - n, ("a", n * 8)) for n in range(1, 5)]
    facts = dataclasses.replace(FACTS, chunks=chunks, **change)  # type: ignore[arg-type]
    assert set(find_archive_garbage(facts).chunks) == gone


def test_a_chunk_goes_with_the_last_chain_that_needs_it() -> None:
    facts = dataclasses.replace(
        FACTS,
        chains={"a": chain("a"), "b": chain("b")},
        bases=[base(1, "a", 100)],
        chunks=[chunk("both", 5, ("a", 10), ("b", 10)), chunk("one", 5, ("a", 10))],
    )
    assert find_archive_garbage(facts).chunks == ("one",)


def test_a_chunk_that_was_not_read_stays_until_it_is_old() -> None:
    facts = dataclasses.replace(FACTS, chunks=[chunk("young", 50), chunk("old", 101)])
    assert find_archive_garbage(facts).chunks == ("old",)
    held = dataclasses.replace(facts, bases=[base(1, "a", 1)], held={Epoch(1)})
    assert find_archive_garbage(held).chunks == ()


def test_a_chain_goes_whole_and_last() -> None:
    over = dataclasses.replace(FACTS, ends={"a": end("a", 30)})
    assert find_archive_garbage(over).chains == ("a",)
    assert find_archive_garbage(FACTS).chains == ()
    based = dataclasses.replace(over, bases=[base(1, "a", 1)])
    assert find_archive_garbage(based).chains == ()
    unread = dataclasses.replace(over, chunks=[chunk("young", 1)])
    assert find_archive_garbage(unread).chains == ()
    abandoned = dataclasses.replace(FACTS, chains={"a": chain("a", 101)})
    assert find_archive_garbage(abandoned).chains == ("a",)
    followed = dataclasses.replace(abandoned, following={"a"})
    assert find_archive_garbage(followed).chains == ()


def test_marks_stay_as_long_as_chunks_do() -> None:
    marks = {"new": NOW - HOUR, "old": NOW - 101 * HOUR, "ancient": NOW - 300 * HOUR}
    facts = dataclasses.replace(FACTS, marks=marks)
    assert set(find_archive_garbage(facts).marks) == {"old", "ancient"}
    held = dataclasses.replace(facts, bases=[base(1, "a", 1, age_h=200)], held={Epoch(1)})
    assert set(find_archive_garbage(held).marks) == {"ancient"}
