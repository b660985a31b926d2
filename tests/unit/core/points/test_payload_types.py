"""Types of payloads: what holds all values, and values in the shape of their type."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from cleancut.core.points.payload_types import Type, merged_type, shaped, type_of

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**70), 2**70) | some.floats() | some.text(),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from("abc"), inner)
    ),
    max_leaves=8,
)


def fits(value: Any, kind: Type) -> bool:
    """Whether a column of that type takes the value."""
    if value is None:
        return True
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(one, kind[1]) for one in value)
    if isinstance(kind, dict) and kind:
        return set(value) == set(kind) and all(fits(value[one], kind[one]) for one in kind)
    plain = {"bool": bool, "int": int, "float": (int, float)}
    return isinstance(value, plain.get(str(kind), str))


@given(some.lists(VALUES, max_size=5))
def test_one_type_holds_all_values(values: list[Any]) -> None:
    kind = merged_type(type_of(one) for one in values)
    assert all(fits(shaped(one, kind), kind) for one in values)
    assert merged_type(type_of(one) for one in reversed(values)) == kind
    assert msgspec.json.decode(msgspec.json.encode(kind)) == kind


def test_kinds() -> None:
    assert merged_type(map(type_of, [1, 2.5, None])) == "float"
    assert merged_type(map(type_of, [1, "a"])) == "json"
    assert merged_type(map(type_of, [{"a": 1}, {"b": [1, "x"]}])) == {
        "a": "int",
        "b": ["list", "json"],
    }
    assert type_of(1 << 63) == "json"
    assert shaped({"a": 1}, "json") == '{"a":1}'
    assert shaped({}, {}) == "{}"
