"""Payload indexes compared by their meaning: Qdrant spells one index in several ways.

A peer that reads a local shard repeats what a client sent; one that asks another peer repeats what
came over gRPC, where a single stopword language has become a list and empty lists are gone.
Source: measured on Qdrant 1.18.3; lib/segment/src/data_types/index.rs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleancut.core.primitives.codec import digest_of

_DEFAULTS: dict[str, Any] = {
    "on_disk": False,
    "is_tenant": False,
    "is_principal": False,
    "enable_hnsw": True,
    "lookup": True,
    "range": True,
    "tokenizer": "word",
    "lowercase": True,
    "ascii_folding": False,
    "phrase_matching": False,
}
"""What Qdrant does when an option is left out."""
_EMPTY: tuple[Any, ...] = (None, [], {}, ())


def canonical_indexes(payload_schema: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Field to index, one spelling per meaning; counts of points are left out."""
    return {
        field: _canonical_index(entry) for field, entry in sorted((payload_schema or {}).items())
    }


def schema_digest(payload_schema: Mapping[str, Any] | None) -> str:
    """sha256 of the payload indexes by their meaning."""
    return digest_of(canonical_indexes(payload_schema))


def unequal_indexes(
    one: Mapping[str, Any] | None, other: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Fields whose index is missing on one side or means something else, sorted."""
    left, right = canonical_indexes(one), canonical_indexes(other)
    return tuple(field for field in sorted({*left, *right}) if left.get(field) != right.get(field))


def _canonical_index(entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"data_type": entry}
    params = entry.get("params") or {}
    if isinstance(params, str):
        params = {}
    data_type = entry.get("data_type") or params.get("type")
    options = {
        key: value
        for key, given in params.items()
        if key != "type"
        and (value := _canonical_option(key, given)) not in _EMPTY
        and value != _DEFAULTS.get(key)
    }
    others = {
        key: value
        for key, value in entry.items()
        if key not in {"data_type", "params", "points"} and value not in _EMPTY
    }
    return {"data_type": data_type, **others, **({"params": options} if options else {})}


def _canonical_option(key: str, value: Any) -> Any:
    if key == "stopwords":
        return _canonical_stopwords(value)
    if isinstance(value, dict):
        return {name: part for name, part in sorted(value.items()) if part not in _EMPTY}
    return value


def _canonical_stopwords(value: Any) -> Any:
    """Both lists are sets to Qdrant; one language may stand for a list of one."""
    if isinstance(value, str):
        return {"languages": [value]}
    if not isinstance(value, dict):
        return value
    return {
        name: sorted(set(words)) if isinstance(words, list) else words
        for name, words in sorted(value.items())
        if words not in _EMPTY
    }
