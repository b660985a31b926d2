"""Types of payload fields, found from all values: for tables whose payload is not text.

Shape: a type is JSON: `null`, `bool`, `int` (64 bits), `float`, `text`, `json`, `["list", type]` or
`{field: type}`. What has several types is `json`: each value as JSON text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Type = str | list[Any] | dict[str, Any]
"""As described above."""
_INT_RANGE = range(-(1 << 63), 1 << 63)
_encode = msgspec.json.Encoder().encode


def type_of(value: Any) -> Type:
    """The type of one value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INT_RANGE else "json"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return {key: type_of(one) for key, one in value.items()}
    return ["list", merged_type(type_of(one) for one in value)]


def merged_type(types: Iterable[Type]) -> Type:
    """One type for values of all these."""
    found: Type = "null"
    for one in types:
        found = _both(found, one)
    return found


def _both(one: Type, other: Type) -> Type:
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys((*one, *other))
        return {name: _both(one.get(name, "null"), other.get(name, "null")) for name in names}
    if isinstance(one, list) and isinstance(other, list):
        return ["list", _both(one[1], other[1])]
    numbers = {"int", "float"}
    if isinstance(one, str) and isinstance(other, str) and {one, other} == numbers:
        return "float"
    return "json"


def shaped(value: Any, kind: Type) -> Any:
    """The value as a column of that type takes it."""
    if value is None:
        return None
    if kind == "json" or kind == {}:
        return _encode(value).decode()
    if isinstance(kind, dict):
        return {name: shaped(value.get(name), one) for name, one in kind.items()}
    if isinstance(kind, list):
        return [shaped(one, kind[1]) for one in value]
    return value
