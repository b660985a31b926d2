"""Configuration of a collection: the request bodies that create it again, in the order of use.

Pure: the raw answer of `GET /collections/{name}` in, bodies out. Unknown fields of newer versions
survive where Qdrant takes them back as they are.
Source: lib/storage/src/content_manager/collection_meta_ops.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from cleancut.core.primitives.errors import Invalid

MAX_SHARDS = 100_000
"""Of one collection: more are not believed."""
_LATER_PARAMS = ("read_fan_out_factor", "read_fan_out_delay_ms")
_SECTIONS = {
    "hnsw_config": "hnsw_config",
    "optimizer_config": "optimizers_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "metadata": "metadata",
}
_WAL_CAPACITY_MB = 32
_HIDES_UNOPTIMIZED = "prevent_unoptimized"


_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class _Vector(msgspec.Struct):
    size: int | None = None
    multivector_config: dict[str, Any] | None = None


class _Sparse(msgspec.Struct):
    index: dict[str, Any] | None = None


class _Params(msgspec.Struct):
    vectors: dict[str, Any] | None = None
    sparse_vectors: dict[str, _Sparse | None] | None = None
    shard_number: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)] | None = None
    replication_factor: _Number | None = None
    sharding_method: str | None = None


class _Wal(msgspec.Struct):
    wal_capacity_mb: _Number | None = None


class _Config(msgspec.Struct):
    params: _Params
    wal_config: _Wal | None = None
    optimizer_config: dict[str, Any] | None = None
    strict_mode_config: dict[str, Any] | None = None


class _Index(msgspec.Struct):
    data_type: str


class _Info(msgspec.Struct):
    config: _Config
    payload_schema: dict[str, _Index] | None = None


def check_described(info: object) -> None:
    """Checks the form of what the functions here read of the answer of `GET /collections/{name}`;
    what else it holds is Qdrant's. Raises: Invalid."""
    try:
        found = msgspec.convert(info, _Info)
        msgspec.convert(named_vectors(found.config.params.vectors), dict[str, _Vector])
    except (msgspec.ValidationError, RecursionError) as error:
        raise Invalid(f"this describes no collection: {error}") from error


def creation(info: Mapping[str, Any], *, replicas: int = 0) -> dict[str, Any]:
    """The body of `PUT /collections/{name}`; without strict mode, which may forbid the next
    requests, and without `prevent_unoptimized`, which hides what is recovered. `replicas`: another
    replication factor; 0: as it was."""
    config = info["config"]
    params = config["params"]
    body = {
        name: value
        for name, value in params.items()
        if value is not None and name not in _LATER_PARAMS
    }
    body |= {
        target: config[source]
        for source, target in _SECTIONS.items()
        if config.get(source) is not None
    }
    if hides_unoptimized(info):
        body["optimizers_config"] = {
            name: value
            for name, value in body["optimizers_config"].items()
            if name != _HIDES_UNOPTIMIZED
        }
    return body | ({"replication_factor": replicas} if replicas else {})


def indexes(info: Mapping[str, Any]) -> dict[str, object]:
    """The schema of each payload field, for `PUT /collections/{name}/index`."""
    schema: Mapping[str, Mapping[str, Any]] = info.get("payload_schema") or {}
    return {
        field: entry.get("params") or entry["data_type"] for field, entry in sorted(schema.items())
    }


def later_params(info: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that only `PATCH /collections/{name}` can set; may be empty."""
    params = info["config"]["params"]
    return {name: params[name] for name in _LATER_PARAMS if params.get(name) is not None}


def hides_unoptimized(info: Mapping[str, Any]) -> bool:
    """True if points stay hidden, and uncounted, until they are optimized."""
    return bool((info["config"].get("optimizer_config") or {}).get(_HIDES_UNOPTIMIZED))


def later_optimizers(info: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be set of the optimizers once all is recovered and counted; may be empty."""
    return {_HIDES_UNOPTIMIZED: True} if hides_unoptimized(info) else {}


def strict_mode(info: Mapping[str, Any]) -> dict[str, Any]:
    """The strict mode, to be set last; {} for none."""
    return dict(info["config"].get("strict_mode_config") or {})


def vector_names(info: Mapping[str, Any]) -> tuple[str, ...]:
    """All vectors of a point, dense and sparse; "" is the one without a name."""
    params = info["config"]["params"]
    dense = named_vectors(params.get("vectors"))
    return (*sorted(dense), *sorted(params.get("sparse_vectors") or {}))


def named_vectors(vectors: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of each dense vector by its name, "" for the one without; a vector may be
    named `size`."""
    found = dict(vectors or {})
    return {"": found} if isinstance(found.get("size"), int) else found


def replication_factor(info: Mapping[str, Any]) -> int:
    return int(info["config"]["params"].get("replication_factor") or 1)


def wal_bytes(info: Mapping[str, Any]) -> int:
    """The size of an empty replica: two log segments are allocated in advance."""
    config: Mapping[str, Any] = info["config"].get("wal_config") or {}
    capacity_mb = int(config.get("wal_capacity_mb") or _WAL_CAPACITY_MB)
    return 2 * capacity_mb * 1024 * 1024


def is_as_created(info: Mapping[str, Any], found: Mapping[str, Any], *, replicas: int = 0) -> bool:
    """True if the collection `found` has just the configuration that `creation` makes."""
    return creation(info, replicas=replicas) == creation(found)


def differing(
    info: Mapping[str, Any], found: Mapping[str, Any], *, replicas: int = 0
) -> tuple[str, ...]:
    """Paths of what `creation` asked for and the collection `found` does not have, such as
    `params.payload.memory`: a Qdrant ignores fields that it does not know."""
    return tuple(_unequal(creation(info, replicas=replicas), creation(found), ""))


def _unequal(wanted: Mapping[str, Any], there: Mapping[str, Any], above: str) -> Iterator[str]:
    for name, value in sorted(wanted.items()):
        path, other = f"{above}{name}", there.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _unequal(value, other, f"{path}.")
        elif value is not None and value != other:
            yield path


def shape_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The vectors and the sharding, which the points of a shard have to match."""
    params = config["params"]
    named = named_vectors(params.get("vectors"))
    sparse: Mapping[str, Any] = params.get("sparse_vectors") or {}
    return {
        "vectors": {
            name: (
                one.get("size"),
                one.get("distance"),
                one.get("datatype") or "float32",
                (one.get("multivector_config") or {}).get("comparator"),
            )
            for name, one in named.items()
        },
        "sparse_vectors": {
            name: (
                (one or {}).get("modifier") or "none",
                ((one or {}).get("index") or {}).get("datatype") or "float32",
            )
            for name, one in sparse.items()
        },
        "shard_number": params.get("shard_number"),
        "sharding_method": params.get("sharding_method") or "auto",
    }


def why_undrainable(info: Mapping[str, Any]) -> str:
    """Why a collection must never be drained, or "".

    With replicas, a write rate limit may refuse the drain on some of them only, and Qdrant then
    takes those for dead (Source: lib/collection/src/shards/replica_set/update.rs, 1.18.3).
    """
    config = info.get("config") or {}
    replicas = (config.get("params") or {}).get("replication_factor") or 1
    limit = (config.get("strict_mode_config") or {}).get("write_rate_limit")
    return "write_rate_limit with replicas" if limit is not None and replicas > 1 else ""
