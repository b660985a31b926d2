"""Configuration of a collection as Qdrant's JSON, in the engine's form. Pure.

Order: every field is carried over; a lost one makes the engine rebuild segments.
Source: qdrant-edge-py 0.9.0, qdrant_edge/__init__.pyi
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from cleancut.core.cluster.collection_config import named_vectors

Json = dict[str, Any]

HNSW: Json = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}


def member(kind: Any, text: str) -> Any:
    """The enum value of the engine that Qdrant's JSON spells `text`."""
    wanted = text.replace("_", "").lower()
    for name in dir(kind):
        if not name.startswith("__") and name.replace("_", "").lower() == wanted:
            return getattr(kind, name)
    raise ValueError(f"unknown value {text!r}")


def merged(base: Mapping[str, Any], diff: Mapping[str, Any] | None) -> Json:
    return {**base, **{key: value for key, value in (diff or {}).items() if value is not None}}


def vector_params(config: Mapping[str, Any]) -> dict[str, Json]:
    """Dense vectors by name; the unnamed one is called the empty string."""
    return named_vectors(config["params"].get("vectors"))


def engine_config(config: Mapping[str, Any]) -> Any:
    """The engine's configuration of a shard; one search thread, so that shards stay cheap."""
    dense = {name: _dense(params) for name, params in vector_params(config).items()}
    sparse = config["params"].get("sparse_vectors") or {}
    optimizers = config["optimizer_config"]
    return edge.EdgeConfig(
        vectors=dense or None,
        sparse_vectors={name: _sparse(params) for name, params in sparse.items()} or None,
        on_disk_payload=config["params"].get("on_disk_payload", True),
        hnsw_config=_hnsw(config["hnsw_config"]),
        quantization_config=_quantization(config.get("quantization_config")),
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=optimizers.get("deleted_threshold"),
            vacuum_min_vector_number=optimizers.get("vacuum_min_vector_number"),
            default_segment_number=optimizers.get("default_segment_number") or None,
            max_segment_size=optimizers.get("max_segment_size"),
            indexing_threshold=optimizers.get("indexing_threshold"),
        ),
        max_search_threads=1,
    )


def _dense(params: Mapping[str, Any]) -> Any:
    multi, datatype = params.get("multivector_config"), params.get("datatype")
    hnsw = params.get("hnsw_config")
    return edge.EdgeVectorParams(
        size=params["size"],
        distance=member(edge.Distance, params["distance"]),
        on_disk=params.get("on_disk"),
        multivector_config=edge.MultiVectorConfig(
            member(edge.MultiVectorComparator, multi["comparator"])
        )
        if multi
        else None,
        datatype=member(edge.VectorStorageDatatype, datatype) if datatype else None,
        quantization_config=_quantization(params.get("quantization_config")),
        hnsw_config=_hnsw(merged(HNSW, hnsw)) if hnsw else None,
    )


def _sparse(params: Mapping[str, Any] | None) -> Any:
    params = params or {}
    index = params.get("index") or {}
    modifier, datatype = params.get("modifier"), index.get("datatype")
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=index.get("full_scan_threshold"),
        on_disk=index.get("on_disk"),
        modifier=edge.Modifier.Idf if modifier == "idf" else None,
        datatype=member(edge.VectorStorageDatatype, datatype) if datatype else None,
    )


def _hnsw(config: Mapping[str, Any]) -> Any:
    return edge.HnswIndexConfig(
        config["m"],
        config["ef_construct"],
        config["full_scan_threshold"],
        config.get("max_indexing_threads") or 0,
        on_disk=config.get("on_disk"),
        payload_m=config.get("payload_m"),
        inline_storage=config.get("inline_storage"),
    )


def _quantization(config: Mapping[str, Any] | None) -> Any:
    if not config:
        return None
    (kind, given), ram = next(iter(config.items())), next(iter(config.values())).get("always_ram")
    if kind == "scalar":
        quantile = given.get("quantile")
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile, ram)
    if kind == "product":
        return edge.ProductQuantizationConfig(
            member(edge.CompressionRatio, given["compression"]), ram
        )
    if kind == "binary":
        encoding, query = given.get("encoding"), given.get("query_encoding")
        return edge.BinaryQuantizationConfig(
            ram,
            member(edge.BinaryQuantizationEncoding, encoding) if encoding else None,
            member(edge.BinaryQuantizationQueryEncoding, query) if query else None,
        )
    if kind == "turbo":
        bits = given.get("bits")
        return edge.TurboQuantQuantizationConfig(
            ram, member(edge.TurboQuantBitSize, bits) if bits else None
        )
    raise ValueError(f"unknown quantization {kind!r}")


def index_schema(schema: object) -> Any:
    """The engine's form of a payload index's `field_schema`, by name or with parameters."""
    if isinstance(schema, str):
        return member(edge.PayloadSchemaType, schema)
    if not isinstance(schema, dict):
        raise ValueError("field_schema is missing")
    kind = str(schema["type"])
    given = {key: value for key, value in schema.items() if key != "type" and value is not None}
    if kind == "text":
        _text_parameters(given)
    params = getattr(edge, f"{kind.capitalize()}IndexParams", None)
    if params is None:
        raise ValueError(f"unknown index type {kind!r}")
    return params(**given)


def _text_parameters(given: Json) -> None:
    if "tokenizer" in given:
        given["tokenizer"] = member(edge.TokenizerType, given["tokenizer"])
    stopwords = given.get("stopwords")
    if isinstance(stopwords, str):
        given["stopwords"] = member(edge.Language, stopwords)
    elif isinstance(stopwords, dict):
        languages = {member(edge.Language, name) for name in stopwords.get("languages") or ()}
        given["stopwords"] = edge.StopwordsSet(languages, set(stopwords.get("custom") or ()))
    stemmer = given.get("stemmer")
    if isinstance(stemmer, dict):
        given["stemmer"] = edge.SnowballParams(member(edge.SnowballLanguage, stemmer["language"]))
