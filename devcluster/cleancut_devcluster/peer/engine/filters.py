"""Qdrant's filter JSON as the engine's conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import qdrant_edge as edge

Json = Mapping[str, Any]


def to_filter(body: Json | None) -> Any:
    """None stays None; a malformed filter is a ValueError."""
    if body is None:
        return None
    if not isinstance(body, Mapping):
        raise ValueError("the filter is not an object")
    few = body.get("min_should")
    return edge.Filter(
        must=_conditions(body.get("must")),
        should=_conditions(body.get("should")),
        must_not=_conditions(body.get("must_not")),
        min_should=edge.MinShould(_conditions(few["conditions"]) or [], few["min_count"])
        if few
        else None,
    )


def _conditions(body: Any) -> list[Any] | None:
    if body is None:
        return None
    return [_condition(entry) for entry in (body if isinstance(body, list) else [body])]


def _condition(body: Json) -> Any:
    if "is_empty" in body and isinstance(body["is_empty"], Mapping):
        return edge.IsEmptyCondition(body["is_empty"]["key"])
    if "is_null" in body and isinstance(body["is_null"], Mapping):
        return edge.IsNullCondition(body["is_null"]["key"])
    if "has_id" in body:
        return edge.HasIdCondition(set(body["has_id"]))
    if "has_vector" in body:
        return edge.HasVectorCondition(body["has_vector"])
    if "nested" in body:
        return edge.NestedCondition(body["nested"]["key"], to_filter(body["nested"]["filter"]))
    if "key" in body:
        return _field(body)
    if {"must", "should", "must_not", "min_should"} & set(body):
        return to_filter(body)
    raise ValueError(f"unknown condition {sorted(body)}")


def _field(body: Json) -> Any:
    match, span, count = body.get("match"), body.get("range"), body.get("values_count")
    return edge.FieldCondition(
        body["key"],
        match=_match(match) if match else None,
        range=_range(span) if span else None,
        geo_bounding_box=_box(body.get("geo_bounding_box")),
        geo_radius=_radius(body.get("geo_radius")),
        geo_polygon=_polygon(body.get("geo_polygon")),
        values_count=edge.ValuesCount(**_given(count)) if count else None,
        is_empty=body.get("is_empty"),
        is_null=body.get("is_null"),
    )


def _match(body: Json) -> Any:
    kinds = {
        "value": edge.MatchValue,
        "any": edge.MatchAny,
        "except": edge.MatchExcept,
        "text": edge.MatchText,
        "text_any": edge.MatchTextAny,
        "phrase": edge.MatchPhrase,
    }
    for name, kind in kinds.items():
        if (value := body.get(name)) is not None:
            # The engine takes Python's booleans for numbers, numpy's for what they are.
            return kind(np.bool_(value) if isinstance(value, bool) else value)
    raise ValueError(f"unknown match {sorted(body)}")


def _range(body: Json) -> Any:
    given = _given(body)
    if any(isinstance(value, str) for value in given.values()):
        return edge.RangeDateTime(**given)
    return edge.RangeFloat(**given)


def _given(body: Json) -> dict[str, Any]:
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
