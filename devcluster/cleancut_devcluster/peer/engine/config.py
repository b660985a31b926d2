"""A collection's configuration: Qdrant's JSON with its defaults, and its changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleancut.engine.config import HNSW, Json, merged

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
        "hnsw_config": merged(HNSW, body.get("hnsw_config")),
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
    if isinstance(vectors.get("size"), int):  # one may be named so
        return merged(vectors, diff.get(""))
    return {name: merged(old, diff.get(name)) for name, old in vectors.items()}
