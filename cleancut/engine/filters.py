"""Qdrant's filter JSON as the engine's conditions. Pure.

An unknown field is an error, with its path: a condition that is ignored would select other points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import qdrant_edge as edge

Json = Mapping[str, Any]

_CLAUSES = ("must", "should", "must_not", "min_should")
_FIELD = (
    "key", "match", "range", "geo_bounding_box", "geo_radius", "geo_polygon", "values_count",
    "is_empty", "is_null",
)  # fmt: skip
_MATCHES = {
    "value": edge.MatchValue,
    "any": edge.MatchAny,
    "except": edge.MatchExcept,
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
}
_SPAN = ("gt", "gte", "lt", "lte")


def to_filter(body: Json | None, where: str = "") -> Any:
    """None stays None. `where`: the path of `body` in the whole filter.

    Raises: ValueError for a malformed filter, with the path of what is wrong.
    """
    if body is None:
        return None
    _check(body, _CLAUSES, where or "filter")
    few = body.get("min_should")
    if few is not None:
        _check(few, ("conditions", "min_count"), _at(where, "min_should"), all_of=True)
    return edge.Filter(
        must=_conditions(body.get("must"), _at(where, "must")),
        should=_conditions(body.get("should"), _at(where, "should")),
        must_not=_conditions(body.get("must_not"), _at(where, "must_not")),
        min_should=edge.MinShould(
            _conditions(few["conditions"], _at(where, "min_should.conditions")) or [],
            few["min_count"],
        )
        if few
        else None,
    )


def without_ids(ids: Iterable[int | str], body: Json | None) -> Any:
    """The points that the filter matches, but for these."""
    others: list[Any] = [edge.HasIdCondition(set(ids))]
    if body is None:
        return edge.Filter(must_not=others)
    return edge.Filter(must=[to_filter(body)], must_not=others)


def of_ids(ids: Iterable[int | str], body: Json | None) -> Any:
    """The points with these ids that the filter matches too."""
    chosen: list[Any] = [edge.HasIdCondition(set(ids))]
    return edge.Filter(must=chosen if body is None else [*chosen, to_filter(body)])


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _check(body: Any, known: tuple[str, ...], where: str, *, all_of: bool = False) -> None:
    if not isinstance(body, Mapping):
        raise ValueError(f"{where} is not an object")
    if unknown := sorted(set(body) - set(known)):
        raise ValueError(
            f"{where} has an unknown field {unknown[0]!r}; known are {', '.join(known)}"
        )
    if all_of and (missing := [name for name in known if name not in body]):
        raise ValueError(f"{where} lacks {missing[0]!r}")


def _conditions(body: Any, where: str) -> list[Any] | None:
    if body is None:
        return None
    if not isinstance(body, list):
        return [_condition(body, where)]
    return [_condition(entry, f"{where}[{at}]") for at, entry in enumerate(body)]


def _condition(body: Any, where: str) -> Any:
    if not isinstance(body, Mapping):
        raise ValueError(f"{where} is not an object")
    for name, kind in (("is_empty", edge.IsEmptyCondition), ("is_null", edge.IsNullCondition)):
        if isinstance(body.get(name), Mapping):
            _check(body, (name,), where)
            _check(body[name], ("key",), _at(where, name), all_of=True)
            return kind(body[name]["key"])
    if "has_id" in body:
        _check(body, ("has_id",), where)
        return edge.HasIdCondition(set(body["has_id"]))
    if "has_vector" in body:
        _check(body, ("has_vector",), where)
        return edge.HasVectorCondition(body["has_vector"])
    if "nested" in body:
        _check(body, ("nested",), where)
        inner = _at(where, "nested")
        _check(body["nested"], ("key", "filter"), inner, all_of=True)
        return edge.NestedCondition(
            body["nested"]["key"], to_filter(body["nested"]["filter"], _at(inner, "filter"))
        )
    if "key" in body:
        return _field(body, where)
    if set(_CLAUSES) & set(body):
        return to_filter(body, where)
    raise ValueError(f"{where} is an unknown condition {sorted(body)}")


def _field(body: Json, where: str) -> Any:
    _check(body, _FIELD, where)
    match, span, count = body.get("match"), body.get("range"), body.get("values_count")
    if not any(body.get(name) is not None for name in _FIELD[1:]):
        raise ValueError(f"{where} has a key and no condition; known are {', '.join(_FIELD[1:])}")
    return edge.FieldCondition(
        body["key"],
        match=None if match is None else _match(match, _at(where, "match")),
        range=None if span is None else _range(span, _at(where, "range")),
        geo_bounding_box=_box(body.get("geo_bounding_box")),
        geo_radius=_radius(body.get("geo_radius")),
        geo_polygon=_polygon(body.get("geo_polygon")),
        values_count=None if count is None else edge.ValuesCount(**_given(count, where)),
        is_empty=body.get("is_empty"),
        is_null=body.get("is_null"),
    )


def _match(body: Json, where: str) -> Any:
    _check(body, tuple(_MATCHES), where)
    for name, kind in _MATCHES.items():
        if (value := body.get(name)) is not None:
            # The engine takes Python's booleans for numbers, numpy's for what they are: those of
            # 2.3 and newer, which are no numbers.
            return kind(np.bool_(value) if isinstance(value, bool) else value)
    raise ValueError(f"{where} is empty; known are {', '.join(_MATCHES)}")


def _range(body: Json, where: str) -> Any:
    given = _given(body, where)
    if any(isinstance(value, str) for value in given.values()):
        return edge.RangeDateTime(**given)
    return edge.RangeFloat(**given)


def _given(body: Json, where: str) -> dict[str, Any]:
    _check(body, _SPAN, where)
    return {key: value for key, value in body.items() if value is not None}


def _point(body: Json) -> Any:
    return edge.GeoPoint(body["lon"], body["lat"])


def _box(body: Json | None) -> Any:
    return body and edge.GeoBoundingBox(_point(body["top_left"]), _point(body["bottom_right"]))


def _radius(body: Json | None) -> Any:
    return body and edge.GeoRadius(_point(body["center"]), body["radius"])


def _polygon(body: Json | None) -> Any:
    if not body:
        return None
    rings = [body["exterior"], *(body.get("interiors") or ())]
    exterior, *interiors = [[_point(point) for point in ring["points"]] for ring in rings]
    return edge.GeoPolygon(exterior, interiors or None)
