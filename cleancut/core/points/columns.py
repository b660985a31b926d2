"""Columns of an exported collection: one for each of its vectors, as its configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from cleancut.core.cluster.collection_config import named_vectors
from cleancut.core.points.selection import params_of


class Kind(Enum):
    """What a vector is."""

    DENSE = "dense"
    MULTI = "multi"
    SPARSE = "sparse"


class VectorColumn(msgspec.Struct, frozen=True):
    """A vector of a collection; `name`: "" for the unnamed one; `size`: 0 for a sparse one."""

    name: str
    kind: Kind
    size: int = 0

    @property
    def title(self) -> str:
        """The name of its column."""
        return f"vector.{self.name}" if self.name else "vector"


def dense_vectors(info: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The parameters of each dense vector of a collection, by name; "": the unnamed one."""
    return named_vectors(params_of(info).get("vectors"))


def vector_columns(info: Mapping[str, Any]) -> tuple[VectorColumn, ...]:
    """The vectors of a collection, dense ones first, by name; `info`: what Qdrant says of it."""
    columns = [
        VectorColumn(name, Kind.MULTI if one.get("multivector_config") else Kind.DENSE, one["size"])
        for name, one in sorted(dense_vectors(info).items())
    ]
    sparse = params_of(info).get("sparse_vectors") or {}
    return (*columns, *(VectorColumn(name, Kind.SPARSE) for name in sorted(sparse)))
