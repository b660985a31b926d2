"""Reads of one replica: Qdrant's JSON in, the engine asked, Qdrant's JSON out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import qdrant_edge as edge

from cleancut.core.cluster.hash_ring import HashRing, PointId
from cleancut.engine.config import Json, member
from cleancut.engine.filters import to_filter
from cleancut_devcluster.peer.engine.errors import engine_errors, wrong_input
from cleancut_devcluster.peer.engine.updates import to_named_vector

_SCROLL_PAGE = 10_000


def run(engine: Any, kind: str, body: Json) -> Any:
    """The answer to one read. Raises: Problem."""
    with engine_errors():
        return _KINDS[kind](engine, body)


def _count(engine: Any, body: Json) -> int:
    condition = to_filter(body.get("filter"))
    if (ring := body.get("ring")) is None:
        return int(engine.count(edge.CountRequest(exact=True, filter=condition)))
    return sum(len(page) for page in _pages(engine, condition, ring))


def _pages(engine: Any, condition: Any, ring: Json) -> Any:
    """Ids, a page at a time, that routing puts into the expected shard."""
    hashes, offset = HashRing(ring["shards"]), None
    while True:
        request = edge.ScrollRequest(
            offset=offset,
            limit=_SCROLL_PAGE,
            filter=condition,
            with_payload=False,
            with_vector=False,
        )
        records, offset = engine.scroll(request)
        ids = [record.id for record in records]
        owners = hashes.shards_of(ids)
        yield [one for one, owner in zip(ids, owners, strict=True) if owner == ring["expected"]]
        if offset is None:
            return


def _scroll(engine: Any, body: Json) -> list[Json]:
    order = body.get("order_by")
    request = edge.ScrollRequest(
        offset=body.get("offset"),
        limit=body["limit"],
        filter=to_filter(body.get("filter")),
        with_payload=with_payload(body.get("with_payload", True)),
        with_vector=with_vector(body.get("with_vector")),
        order_by=_order_by(order) if order else None,
    )
    records, _ = engine.scroll(request)
    return [_record(record) for record in records]


def _retrieve(engine: Any, body: Json) -> list[Json]:
    records = engine.retrieve(
        body["ids"],
        with_payload(body.get("with_payload", True)),
        with_vector(body.get("with_vector")),
    )
    return [_record(record) for record in records]


def _query(engine: Any, body: Json) -> list[Json]:
    request = edge.QueryRequest(
        limit=body["limit"],
        query=_scoring(body.get("query"), body.get("using")),
        with_vector=with_vector(body.get("with_vector")),
        with_payload=with_payload(body.get("with_payload", False)),
        filter=to_filter(body.get("filter")),
        score_threshold=body.get("score_threshold"),
        params=_params(body.get("params")),
    )
    return [_scored(point) for point in engine.query(request)]


def _facet(engine: Any, body: Json) -> list[Json]:
    request = edge.FacetRequest(
        body["key"],
        body.get("limit") or 10,
        exact=bool(body.get("exact")),
        filter=to_filter(body.get("filter")),
    )
    return [{"value": hit.value, "count": hit.count} for hit in engine.facet(request)]


def _info(engine: Any, _: Json) -> Json:
    info = engine.info()
    return {
        "points": info.points_count,
        "segments": info.segments_count,
        "indexed": info.indexed_vectors_count,
        "fields": {field: entry.points for field, entry in info.payload_schema.items()},
    }


_KINDS = {
    "count": _count,
    "scroll": _scroll,
    "retrieve": _retrieve,
    "query": _query,
    "facet": _facet,
    "info": _info,
}


def _scoring(query: Any, using: str | None) -> Any:
    """Shape: what `reads` made of the request; vectors only, no ids any more."""
    if query is None:
        return None
    kind, body = next(iter(query.items()))
    if kind == "nearest":
        return edge.Query.Nearest(to_named_vector(body), using)
    if kind == "order_by":
        return _order_by(body)
    if kind == "sample":
        return edge.Sample.Random
    if kind in {"best_score", "sum_scores"}:
        vectors = [
            [to_named_vector(one) for one in body[side]] for side in ("positive", "negative")
        ]
        request = edge.RecommendQuery(*vectors)
        chosen = "RecommendBestScore" if kind == "best_score" else "RecommendSumScores"
        return getattr(edge.Query, chosen)(request, using)
    pairs = [
        edge.ContextPair(to_named_vector(pair["positive"]), to_named_vector(pair["negative"]))
        for pair in body.get("context") or ()
    ]
    if kind == "context":
        return edge.Query.Context(edge.ContextQuery(pairs), using)
    if kind == "discover":
        query = edge.DiscoverQuery(to_named_vector(body["target"]), pairs)
        return edge.Query.Discover(query, using)
    raise wrong_input(f"a query of kind {kind!r} is not supported by this development server")


def _order_by(body: Any) -> Any:
    if isinstance(body, str):
        return edge.OrderBy(body)
    direction = body.get("direction")
    return edge.OrderBy(
        body["key"],
        member(edge.Direction, direction) if direction else None,
        body.get("start_from"),
    )


def _params(body: Mapping[str, Any] | None) -> Any:
    if not body:
        return None
    quantization = body.get("quantization")
    return edge.SearchParams(
        hnsw_ef=body.get("hnsw_ef"),
        exact=bool(body.get("exact")),
        indexed_only=bool(body.get("indexed_only")),
        quantization=edge.QuantizationSearchParams(
            **{key: value for key, value in quantization.items() if value is not None}
        )
        if quantization
        else None,
    )


def with_payload(given: Any) -> Any:
    if isinstance(given, Mapping):
        if given.get("include") is not None:
            return edge.PayloadSelector.Include(given["include"])
        return edge.PayloadSelector.Exclude(given.get("exclude") or [])
    return False if given is None else given


def with_vector(given: Any) -> Any:
    return False if given is None else given


def _record(record: Any) -> Json:
    shown = {"id": point_id(record.id), "payload": record.payload}
    if record.vector is not None:
        shown["vector"] = shown_vector(record.vector)
    if record.order_value is not None:
        shown["order_value"] = record.order_value
    return shown


def _scored(point: Any) -> Json:
    return {**_record(point), "version": point.version, "score": point.score}


def point_id(given: PointId) -> int | str:
    return str(given) if isinstance(given, uuid.UUID) else given


def shown_vector(vector: Any) -> Any:
    """Numbers as short as Qdrant prints them: the engine widens its 32-bit floats."""
    if isinstance(vector, Mapping):
        return {name: shown_vector(one) for name, one in vector.items()}
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": shown_vector(vector.values)}
    return np.asarray(vector, np.float32).astype(str).astype(float).tolist()
