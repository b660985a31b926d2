"""A collection's configuration: Qdrant's JSON with its defaults, and the engine's form of it. Pure.

Order: every field is carried over; a lost one makes the engine rebuild segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

Json = dict[str, Any]

_HNSW: Json = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
_OPTIMIZERS: Json = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
_WAL: Json = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
_PARAMS = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)


def member(kind: Any, text: str) -> Any:
    """The enum value of the engine that Qdrant's JSON spells `text`."""
    wanted = text.replace("_", "").lower()
    for name in dir(kind):
        if not name.startswith("__") and name.replace("_", "").lower() == wanted:
            return getattr(kind, name)
    raise ValueError(f"unknown value {text!r}")


def new_config(body: Mapping[str, Any], peers: int) -> Json:
    """The configuration that a create request means, defaults filled in."""
    custom = body.get("sharding_method") == "custom"
    params = {name: body[name] for name in _PARAMS if body.get(name) is not None}
    params.setdefault("vectors", {})
    params.setdefault("shard_number", 1 if custom else max(1, peers))
    params.setdefault("replication_factor", 1)
    params.setdefault("write_consistency_factor", 1)
    params.setdefault("on_disk_payload", True)
    optimizers = body.get("optimizers_config") or body.get("optimizer_config")
    config: Json = {
        "params": params,
        "hnsw_config": merged(_HNSW, body.get("hnsw_config")),
        "optimizer_config": merged(_OPTIMIZERS, optimizers),
        "wal_config": merged(_WAL, body.get("wal_config")),
        "quantization_config": body.get("quantization_config"),
    }
    for name in ("strict_mode_config", "metadata"):
        if body.get(name) is not None:
            config[name] = body[name]
    return config


def patched_config(config: Mapping[str, Any], diff: Mapping[str, Any]) -> Json:
    """The configuration after a PATCH: only what is given and not null changes."""
    new = dict(config)
    for name, key in (
        ("params", "params"),
        ("hnsw_config", "hnsw_config"),
        ("optimizers_config", "optimizer_config"),
        ("optimizer_config", "optimizer_config"),
        ("strict_mode_config", "strict_mode_config"),
        ("metadata", "metadata"),
    ):
        if diff.get(name) is not None:
            new[key] = merged(new.get(key) or {}, diff[name])
    if diff.get("quantization_config") is not None:
        new["quantization_config"] = diff["quantization_config"]
    if diff.get("vectors"):
        new["params"] = dict(new["params"], vectors=_patched_vectors(new, diff["vectors"]))
    return new


def _patched_vectors(config: Mapping[str, Any], diff: Mapping[str, Any]) -> Json:
    vectors: Json = dict(config["params"]["vectors"])
    if "size" in vectors:
        return merged(vectors, diff.get(""))
    return {name: merged(old, diff.get(name)) for name, old in vectors.items()}


def merged(base: Mapping[str, Any], diff: Mapping[str, Any] | None) -> Json:
    return {**base, **{key: value for key, value in (diff or {}).items() if value is not None}}


def vector_params(config: Mapping[str, Any]) -> dict[str, Json]:
    """Dense vectors by name; the unnamed one is called the empty string."""
    vectors = config["params"].get("vectors") or {}
    return {"": vectors} if "size" in vectors else dict(vectors)


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
            deleted_threshold=optimizers["deleted_threshold"],
            vacuum_min_vector_number=optimizers["vacuum_min_vector_number"],
            default_segment_number=optimizers["default_segment_number"] or None,
            max_segment_size=optimizers["max_segment_size"],
            indexing_threshold=optimizers["indexing_threshold"],
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
        hnsw_config=_hnsw(merged(_HNSW, hnsw)) if hnsw else None,
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
