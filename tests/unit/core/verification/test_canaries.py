"""Canaries: what is asked, what is kept of an answer, and when a later answer is the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.protocol.documents import Canary, Question
from cleancut.core.verification.canaries import (
    LIMIT,
    POINTS,
    TARGET_NUMBERS,
    VECTORS,
    Hit,
    askable,
    canary_of,
    in_turn,
    is_equal,
    proven,
    questions,
    tolerance_of,
)
from tests.support.restore_groups import info_of, shard

DENSE = {"size": 4, "distance": "Dot"}
TEN = [(number, 1.0 - number / 20) for number in range(LIMIT)]


def canary(hits: Sequence[Hit]) -> Canary:
    kept = canary_of(Question(collection="docs", vector="", query=99), hits)
    assert kept is not None
    return kept


@pytest.mark.parametrize(
    ("before", "after", "equal"),
    [
        ([], [], True),
        ([], [(1, 0.5)], False),
        ([(1, 0.5)], [], False),
        (TEN, TEN, True),
        (TEN, TEN[:-1], False),
        (TEN, [*TEN[:-1], (77, TEN[-1][1])], True),
        (TEN, [*TEN[:-2], (77, TEN[-2][1]), TEN[-1]], False),
        (TEN, [TEN[1], TEN[0], *TEN[2:]], False),
        (TEN, [(0, TEN[0][1] * 1.000001), *TEN[1:]], True),
        (TEN, [(0, TEN[0][1] * 1.0001), *TEN[1:]], False),
        ([(1, 0.5), ("a", 0.5)], [("a", 0.5), (1, 0.5)], True),
        ([(1, 0.5), (2, 0.5)], [(1, 0.5), (3, 0.5)], False),
        ([(1, 2.0), (2, 1.0), (3, 1.0)], [(1, 2.0), (3, 1.0), (2, 1.0)], True),
        ([(1, 2.0), (2, 1.0), (3, 1.0)], [(2, 2.0), (1, 1.0), (3, 1.0)], False),
        ([*TEN[:8], (8, 0.1), (9, 0.1)], [*TEN[:8], (50, 0.1), (8, 0.1)], True),
        ([*TEN[:8], (8, 0.1), (9, 0.1)], [*TEN[:7], (50, TEN[7][1]), (8, 0.1), (9, 0.1)], False),
        ([(1, 0.0), (2, 0.0)], [(2, 0.0), (1, 0.0)], True),
        ([(1, 100.0), (2, 1e-9)], [(1, 100.0), (2, -1e-9)], True),
        ([(1, -3.0), (2, -4.0)], [(1, -3.0), (2, -4.0)], True),
        ([(1, 3.0)], [("1", 3.0)], False),
    ],
)
def test_table(before: list[Hit], after: list[Hit], equal: bool) -> None:
    """Ids count unless scores are equal; at the end of a full answer the tie may go on unseen."""
    assert is_equal(canary(before), after) is equal


SCORES = st.lists(
    st.floats(min_value=0.001, max_value=1000, allow_nan=False), min_size=1, max_size=LIMIT
).map(lambda scores: sorted(scores, reverse=True))


@given(SCORES, st.data())
def test_order_among_equal_scores_is_free(scores: list[float], data: st.DataObject) -> None:
    """Every order of points that keeps the scores is the same answer."""
    hits = list(enumerate(scores))
    shuffled = data.draw(st.permutations(hits))
    again = sorted(shuffled, key=lambda hit: -hit[1])
    assert is_equal(canary(hits), again)


@given(SCORES, st.floats(min_value=-9e-7, max_value=9e-7))
def test_rounding_is_no_difference(scores: list[float], noise: float) -> None:
    hits = list(enumerate(scores))
    assert is_equal(canary(hits), [(point, score * (1 + noise)) for point, score in hits])


@given(st.integers(1, LIMIT), st.data())
def test_another_point_or_score_is_a_difference(size: int, data: st.DataObject) -> None:
    """With scores all apart, nothing can change unseen: neither a point (but the last one of a full
    answer), nor a score, nor the order, nor the number."""
    hits: list[Hit] = [(number, 100.0 - number) for number in range(size)]
    at = data.draw(st.integers(0, size - 1))
    point, score = hits[at]
    changed = list(hits)
    others: list[Hit] = [(point, score + 0.01)]
    if at < LIMIT - 1:
        others.append((f"x{point}", score))
    changed[at] = data.draw(st.sampled_from(others))
    assert not is_equal(canary(hits), changed)
    assert not is_equal(canary(hits), [*hits[:at], *hits[at + 1 :]])
    if size > 1:
        other = (at + 1) % size
        swapped = list(hits)
        swapped[at] = (hits[other][0], hits[at][1])
        swapped[other] = (hits[at][0], hits[other][1])
        assert not is_equal(canary(hits), swapped)


@pytest.mark.parametrize(
    ("info", "names"),
    [
        (info_of(), ("",)),
        (info_of(params={"vectors": {"b": DENSE, "a": DENSE}}), ("a", "b")),
        (info_of(params={"vectors": {}, "sparse_vectors": {"s": {}}}), ("s",)),
        (info_of(params={"sparse_vectors": {"s": {"modifier": "none"}}}), ("", "s")),
        (info_of(params={"sparse_vectors": {"s": {"modifier": "idf"}}}), ("",)),
        (info_of(params={"sparse_vectors": {"s": None}}), ("", "s")),
        (info_of(optimizer_config={"prevent_unoptimized": True}), ()),
        (
            info_of(params={"vectors": {f"{n:02}": DENSE for n in range(40)}}),
            tuple(f"{n:02}" for n in range(VECTORS)),
        ),
    ],
)
def test_askable(info: dict[str, object], names: tuple[str, ...]) -> None:
    """All kinds of vectors, but none whose answers change without a write."""
    assert askable(info) == names


def test_questions_are_asked_in_turn() -> None:
    """If time is short, each vector of each collection has been asked for once before any twice."""
    x = [(number, None, [1.0]) for number in (1, 2, 3, 4)]
    some = questions(info_of(), "a", {"x": x, "y": [(7, None, [1.0])]})
    more = questions(info_of(factor=2), "b", {"": [("u", "tenant", [1.0])]})
    assert len(some) == POINTS + 1
    turned = in_turn((*some, *more))
    asked = [(q.collection, q.vector, q.query, q.replicated) for q in turned]
    assert asked == [
        ("a", "x", 1, False),
        ("a", "y", 7, False),
        ("b", "", "u", True),
        ("a", "x", 2, False),
        ("a", "x", 3, False),
    ]


def test_a_question_carries_the_vector_and_the_key() -> None:
    """An id may be in several shard keys: who asks by it is answered by chance. Few digits do."""
    targets = [[0.123456, -2.0], [[0.5555, 1.0]], {"indices": [3, 77], "values": [0.98765]}]
    samples = [(1, f"t{number}", target) for number, target in enumerate(targets)]
    asked = questions(info_of(), "docs", {"": samples})
    assert [(one.query, one.shard_key) for one in asked] == [(1, "t0"), (1, "t1"), (1, "t2")]
    kept = [canary_of(one, []) for one in asked]
    assert [(one.shard_key, one.target) for one in kept if one] == [
        ("t0", [0.123, -2.0]),
        ("t1", [[0.555, 1.0]]),
        ("t2", {"indices": [3, 77], "values": [0.988]}),
    ]


def test_questions_have_so_much_room_and_no_more() -> None:
    """Vectors are part of the manifest: with many large ones, some are not asked for."""
    large = [(number, None, [0.5] * (TARGET_NUMBERS // 4)) for number in range(POINTS)]
    asked = [one for name in "abc" for one in questions(info_of(), name, {"": large})]
    assert [one.collection for one in in_turn(asked)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("params", "vector", "relative"),
    [
        ({}, "", 1e-5),
        ({"vectors": DENSE | {"datatype": "float16"}}, "", 1e-3),
        ({"vectors": {"a": DENSE | {"datatype": "uint8"}}}, "a", 1e-3),
        ({"vectors": {"a": DENSE | {"datatype": "turbo4"}}}, "a", 5e-3),
        ({"sparse_vectors": {"s": {"index": {"datatype": "float16"}}}}, "s", 1e-3),
        ({"sparse_vectors": {"s": None}}, "s", 1e-5),
    ],
)
def test_tolerance_goes_by_the_datatype(
    params: dict[str, object], vector: str, relative: float
) -> None:
    """What another engine rounds otherwise is no difference; points that are as near may swap."""
    tolerance = tolerance_of(info_of(params=params), vector)
    asked = canary([(1, 2.42), (2, 2.42 * (1 - relative / 2)), (3, 1.0)])
    again = [(2, 2.42 * (1 + relative / 2)), (1, 2.42), (3, 1.0 - relative / 2)]
    assert is_equal(asked, again, tolerance)
    assert not is_equal(asked, [*again[:2], (4, 1.0)], tolerance)
    assert not is_equal(asked, [*again[:2], (3, 1.0 - 20 * relative)], tolerance)


def test_replicas_have_to_agree() -> None:
    """An answer that is not full may lack what replicas do not share."""
    question = Question(collection="docs", vector="", query=1, replicated=True)
    assert canary_of(question, TEN[:9]) is None
    assert canary_of(question, TEN) is not None


def test_only_quiet_collections_are_proven() -> None:
    """One moved shard, and nothing is known of the whole collection."""
    canaries = [
        Canary(collection=name, vector="", query=query, ids=(), scores=())
        for name in ("b", "a", "c")
        for query in (2, 1)
    ]
    shards = [shard("a", 0), shard("b", 0), shard("b", 1, quiet=False), shard("c", 0)]
    kept = proven(canaries, shards)
    assert [(one.collection, one.query) for one in kept] == [
        ("a", 1),
        ("a", 2),
        ("c", 1),
        ("c", 2),
    ]
