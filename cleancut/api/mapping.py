"""Mapping of core records to API values: fields of the same name are copied."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cleancut.api.values import ApiValue

V = TypeVar("V", bound=ApiValue)


def to_value(kind: type[V], record: msgspec.Struct, **other: object) -> V:
    """The value of `kind` with the fields that `record` has too, and with `other`, which wins.

    Raises: TypeError, if a field without a default is in neither.
    """
    same = set(kind.__struct_fields__) & set(record.__struct_fields__)
    return kind(**{name: getattr(record, name) for name in same} | other)
