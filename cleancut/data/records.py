"""Records of a page, as lines of JSON or as a batch of Arrow.

Shape: a line is Qdrant's point, `{"id", "payload", "vector"}`, and `shard_key` where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from cleancut.core.points.columns import VectorColumn
from cleancut.data.arrays import array_of, texts_of, type_of
from cleancut.engine.shard import id_of, vector_of

_encode = msgspec.json.Encoder().encode


def lines_of(
    records: Sequence[Any], columns: Sequence[VectorColumn], shard_key: str | int | None
) -> bytes:
    """A line for each record."""
    end = b"}\n" if shard_key is None else b',"shard_key":' + _encode(shard_key) + b"}\n"
    vectors = _vector_texts(records, columns)
    pieces: list[bytes] = []
    for at, record in enumerate(records):
        pieces += (b'{"id":', _encode(id_of(record)), b',"payload":', payload_json(record))
        if vectors is not None:
            pieces += (b',"vector":', vectors[at].encode())
        pieces.append(end)
    return b"".join(pieces)


def payload_json(record: Any) -> bytes:
    """The payload; {} for none."""
    return _encode(record.payload or {})


def _vector_texts(records: Sequence[Any], columns: Sequence[VectorColumn]) -> list[str] | None:
    if not columns:
        return None
    texts = [
        texts_of(column, array_of(column, [vector_of(one, column.name) for one in records]))
        for column in columns
    ]
    if len(columns) == 1 and not columns[0].name:
        return [text or "{}" for text in texts[0]]
    names = [_encode(column.name).decode() for column in columns]
    return [
        "{" + ",".join(f"{name}:{one}" for name, one in zip(names, row, strict=True) if one) + "}"
        for row in zip(*texts, strict=True)
    ]


def schema_of(
    columns: Sequence[VectorColumn], *, uuids: bool, key_type: Any, payload: Any = None
) -> Any:
    """The table's columns: id, payload, the vectors, and the shard key where there are any.
    `payload`: its type, if it is not JSON text."""
    fields = [
        pa.field("id", pa.string() if uuids else pa.uint64(), nullable=False),
        pa.field("payload", payload or pa.string()),
        *(pa.field(column.title, type_of(column)) for column in columns),
    ]
    if key_type is not None:
        fields.append(pa.field("shard_key", key_type, nullable=False))
    return pa.schema(fields)


def batch_of(
    records: Sequence[Any],
    columns: Sequence[VectorColumn],
    schema: Any,
    shard_key: str | int | None,
) -> Any:
    """A batch of records whose ids are all of the schema's kind."""
    arrays = [
        pa.array([id_of(record) for record in records], schema.field("id").type),
        pa.array([payload_json(record) for record in records], pa.string()),
    ]
    for column in columns:
        arrays.append(array_of(column, [vector_of(one, column.name) for one in records]))
    if "shard_key" in schema.names:
        kind = schema.field("shard_key").type
        text = str(shard_key) if kind == pa.string() else shard_key
        arrays.append(pa.array([text] * len(records), kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
