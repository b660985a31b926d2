"""One payload index in all its spellings is one index; another index is another."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.cluster.payload_indexes import schema_digest, unequal_indexes


def text(**params: Any) -> dict[str, Any]:
    return {"data_type": "text", "params": {"type": "text", **params}, "points": 3}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"data_type": "keyword"}, {"data_type": "keyword", "params": {"type": "keyword"}}),
        (
            {"data_type": "integer", "params": {"type": "integer", "lookup": None, "range": True}},
            {"data_type": "integer", "points": 9},
        ),
        (text(tokenizer="word", lowercase=True, on_disk=False), {"data_type": "text"}),
        (text(stopwords="english"), text(stopwords={"languages": ["english"]})),
        (text(stopwords="english"), text(stopwords={"languages": ["english"], "custom": []})),
        (text(stopwords={"languages": [], "custom": []}), text(stopwords={})),
        (text(stopwords={}), text()),
        (text(stopwords={"custom": ["b", "a", "b"]}), text(stopwords={"custom": ["a", "b"]})),
        (text(phrase_matching=False, stemmer=None), text()),
    ],
)
def test_spellings_of_one_index(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A peer with a local shard repeats the client, another one what came over gRPC."""
    assert schema_digest({"f": one}) == schema_digest({"f": other})
    assert unequal_indexes({"f": one}, {"f": other}) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"data_type": "keyword"}, {"data_type": "uuid"}),
        ({"data_type": "keyword"}, {"data_type": "keyword", "params": {"is_tenant": True}}),
        (text(stopwords="english"), text(stopwords="german")),
        (text(stopwords="english"), text()),
        (text(tokenizer="prefix"), text()),
        (text(lowercase=False), text()),
        (text(min_token_len=2), text(min_token_len=3)),
        (text(some_future_option=7), text()),
    ],
)
def test_other_indexes(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The field is named."""
    assert unequal_indexes({"f": one, "g": one}, {"f": other, "g": one}) == ("f",)
    assert unequal_indexes({"f": one}, None) == ("f",)
