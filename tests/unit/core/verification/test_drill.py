"""What a drill compares."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.protocol.documents import Canary
from cleancut.core.verification.drill import answers_again, merged, recall_of, wrong_indexes

NEAR = [(n, 1.0 - n / 100) for n in range(12)]
"""As by cosine: more is nearer."""
FAR = [(n, n / 100) for n in range(12)]
"""As by Euclid: less is nearer."""


@pytest.mark.parametrize("hits", [NEAR, FAR])
def test_answers_of_shards_are_merged_as_qdrant_does(hits: list[tuple[int, float]]) -> None:
    """Best first, ten of them."""
    parts = [hits[0::3], hits[1::3], hits[2::3], []]
    assert merged(parts) == hits[:10]
    assert merged([[], []]) == []


def test_a_recorded_answer_is_given_again_or_not() -> None:
    canary = Canary(
        collection="c",
        vector="",
        query=0,
        ids=tuple(n for n, _ in NEAR[:10]),
        scores=tuple(score for _, score in NEAR[:10]),
    )
    assert answers_again(canary, [NEAR[0::2], NEAR[1::2]], 1e-5)
    assert not answers_again(canary, [NEAR[0::2], NEAR[3::2]], 1e-5)


@pytest.mark.parametrize("hits", [NEAR, FAR])
def test_recall(hits: list[tuple[int, float]]) -> None:
    exact = hits[:10]
    assert recall_of(exact, exact) == 1.0
    assert recall_of(exact, hits[:8] + hits[10:]) == 0.8
    assert recall_of(exact, []) == 0.0
    assert recall_of([], []) == 1.0
    as_near_as_the_last = [*hits[:9], (99, hits[9][1])]
    assert recall_of(exact, as_near_as_the_last) == 1.0


def test_indexes() -> None:
    info: dict[str, Any] = {
        "payload_schema": {
            "tag": {"data_type": "keyword", "points": 3},
            "year": {"data_type": "integer", "points": 3},
        }
    }
    assert wrong_indexes(info, {"tag": "keyword", "year": "integer", "more": "geo"}) == []
    assert wrong_indexes(info, {"tag": "text"}) == [
        "its index of 'tag' is text, not keyword",
        "it has no index of 'year'",
    ]
    assert wrong_indexes({}, {}) == []
