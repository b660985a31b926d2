"""A shard opened in this process, by Qdrant's own storage engine: nothing of it is changed.

Every call holds the interpreter until it is answered. A shard takes its tar's size on disk again.
Source: qdrant-edge-py 0.9.0, qdrant_edge/__init__.pyi
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cleancut.core.primitives.errors import Corrupt, Refused

Hit = tuple[str | int, float]


def check_engine() -> None:
    """Raises: Refused, where the engine is not installed."""
    try:
        import qdrant_edge  # noqa: F401 -- only whether it is there
    except ImportError as error:
        raise Refused(
            "Qdrant's storage engine is not installed here",
            "install `cleancut[drill]`, or `cleancut[data]`, which has it too",
        ) from error


@contextmanager
def opened(tar: Path, directory: Path) -> Iterator[EngineShard]:
    """The shard of `tar`, which is removed, unpacked into `directory`. Raises: Corrupt."""
    import qdrant_edge as edge

    directory.mkdir()
    with engine_errors("open"):
        edge.EdgeShard.unpack_snapshot(str(tar), str(directory))
        tar.unlink()
        shard = edge.EdgeShard.load(str(directory))
    try:
        yield EngineShard(edge, shard)
    finally:
        shard.close()


class EngineShard:
    """What drills and exports ask. Raises: Corrupt, for whatever the engine cannot do."""

    def __init__(self, edge: Any, shard: Any) -> None:
        self._edge, self._shard = edge, shard

    def count(self) -> int:
        """Its points, exactly."""
        with engine_errors("read"):
            return int(self._shard.count(self._edge.CountRequest(exact=True)))

    def indexes(self) -> dict[str, str]:
        """The payload indexes: field and type, as Qdrant's API spells it."""
        with engine_errors("read"):
            schema = self._shard.info().payload_schema
        return {field: _word(entry.data_type) for field, entry in schema.items()}

    def page(
        self, after: Any, limit: int, *, condition: Any, payload: bool, vectors: bool
    ) -> tuple[list[Any], Any]:
        """Up to `limit` records by id, from `after` on (None: the first), and where the next page
        begins, or None. `condition`: the engine's filter."""
        edge = self._edge
        request = edge.ScrollRequest(
            offset=after, limit=limit, filter=condition, with_payload=payload, with_vector=vectors
        )
        with engine_errors("read"):
            records, following = self._shard.scroll(request)
        return records, following

    def target_of(self, target: Any) -> Any:
        """A vector of Qdrant's API as the engine wants it."""
        if isinstance(target, dict):
            return self._edge.SparseVector(target["indices"], target["values"])
        return target

    def sample(self, vector: str, number: int) -> list[Any]:
        """The vectors of up to `number` points, at random."""
        edge = self._edge
        request = edge.QueryRequest(
            limit=number, query=edge.Sample.Random, with_vector=[vector], with_payload=False
        )
        with engine_errors("read"):
            found = self._shard.query(request)
        return [one for point in found if (one := vector_of(point, vector)) is not None]

    def nearest(self, target: Any, vector: str, limit: int, *, exact: bool) -> list[Hit]:
        """Ids and scores, best first; with `exact` by the original vectors, whatever index there
        is."""
        found = self.search(target, vector, limit, exact=exact)
        return [(id_of(point), float(point.score)) for point in found]

    def search(
        self,
        target: Any,
        vector: str,
        limit: int,
        *,
        exact: bool,
        condition: Any = None,
        payload: bool = False,
    ) -> list[Any]:
        """As `nearest`, the engine's records. `condition`: the engine's filter."""
        edge = self._edge
        quantization = edge.QuantizationSearchParams(ignore=True) if exact else None
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(target, vector or None),
            params=edge.SearchParams(exact=exact, quantization=quantization),
            filter=condition,
            with_payload=payload,
        )
        with engine_errors("read"):
            found: list[Any] = self._shard.query(request)
        return found


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Raises: Corrupt, for any error of the engine in its block."""
    try:
        yield
    except Exception as error:
        raise Corrupt(f"Qdrant's engine cannot {what} it: {error}") from error


def id_of(record: Any) -> str | int:
    """The id of a record, as Qdrant's API has it."""
    found: str | int | uuid.UUID = record.id
    return str(found) if isinstance(found, uuid.UUID) else found


def vector_of(record: Any, name: str) -> Any:
    """The record's vector of that name, or None."""
    found = record.vector
    if isinstance(found, dict):
        return found.get(name)
    return found if not name and isinstance(found, list) else None


def plain_vector(vector: Any) -> Any:
    """A vector of the engine as Qdrant's API has it."""
    if vector is None or isinstance(vector, list):
        return vector
    return {"indices": list(vector.indices), "values": list(vector.values)}


def _word(kind: Any) -> str:
    return str(kind).rpartition(".")[2].lower()
