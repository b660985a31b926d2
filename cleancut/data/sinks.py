"""Sinks: parts of shards, in order, become lines of JSON, or one table.

A sink's calls run in a thread, one at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from cleancut.core.points.payload_types import Type, merged_type, shaped
from cleancut.data.job import Line

GROUP_BYTES = 64 << 20
_COPY_BYTES = 1 << 20


class Format(Enum):
    """Of the file that is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"


class Sink(Protocol):
    """Takes the parts of shards, one shard after the other."""

    def append(self, line: Line) -> None:
        """Takes the parts of a shard, which are removed."""

    def finish(self) -> None:
        """All is written."""


class LineSink:
    """Lines as they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, line: Line) -> None:
        for part in line.parts or ():
            with Path(part.path).open("rb") as lines:
                shutil.copyfileobj(lines, self._file, _COPY_BYTES)
            Path(part.path).unlink()

    def finish(self) -> None:
        self._file.flush()


class TableSink:
    """A table in `target`. Its ids are numbers, or text once a part has UUIDs: what was written by
    then is written again. `facts`: for the file's metadata. `payload`: its type, if the column of
    payloads is not text."""

    def __init__(
        self,
        target: Path,
        form: Format,
        schema: Any,
        facts: Mapping[str, str],
        *,
        payload: Type | None = None,
    ) -> None:
        self._payload = payload
        self._target = target
        self._form = form
        self._schema = schema.with_metadata({f"cleancut.{key}": facts[key] for key in facts})
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self._writer = self._open(target)

    def append(self, line: Line) -> None:
        for part in line.parts or ():
            if part.uuids:
                self._widen()
            with pa.memory_map(part.path) as file:
                reader = pa.ipc.open_file(file)
                for at in range(reader.num_record_batches):
                    self._write(self._with_payload(reader.get_batch(at)))
                self._flush()
            Path(part.path).unlink()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def close(self) -> None:
        """Order: after a failure too."""
        with suppress(pa.ArrowInvalid, OSError):
            self._writer.close()

    def _open(self, target: Path) -> Any:
        if self._form is Format.ARROW:
            return pa.ipc.new_file(str(target), self._schema)
        return pq.ParquetWriter(
            str(target), self._schema, compression="zstd", use_dictionary=["shard_key"]
        )

    def _with_payload(self, batch: Any) -> Any:
        if self._payload is None:
            return batch
        at = batch.schema.get_field_index("payload")
        values = [
            shaped(msgspec.json.decode(text), self._payload)
            for text in batch.column(at).to_pylist()
        ]
        kind = self._schema.field("payload").type
        columns = list(batch.columns)
        columns[at] = pa.array(values, kind)
        schema = batch.schema.set(at, pa.field("payload", kind))
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _write(self, batch: Any) -> None:
        if batch.schema.field("id").type != self._schema.field("id").type:
            ids = batch.column(0).cast(self._schema.field("id").type)
            batch = pa.RecordBatch.from_arrays([ids, *batch.columns[1:]], schema=self._schema)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            batches = [
                pa.RecordBatch.from_arrays(b.columns, schema=self._schema) for b in self._waiting
            ]
            self._writer.write_table(pa.Table.from_batches(batches, self._schema))
        self._waiting, self._waiting_bytes = [], 0

    def _widen(self) -> None:
        """Ids are text from here on."""
        at = self._schema.get_field_index("id")
        if self._schema.field(at).type == pa.string():
            return
        self.finish()
        before = self._target.with_name(f"{self._target.name}.numbers")
        self._target.rename(before)
        self._schema = self._schema.set(at, pa.field("id", pa.string(), nullable=False))
        self._writer = self._open(self._target)
        try:
            for batch in self._batches(before):
                self._write(batch)
        finally:
            before.unlink()

    def _batches(self, source: Path) -> Iterator[Any]:
        if self._form is Format.ARROW:
            with pa.memory_map(str(source)) as file:
                reader = pa.ipc.open_file(file)
                for at in range(reader.num_record_batches):
                    yield reader.get_batch(at)
                self._flush()
            return
        with pq.ParquetFile(str(source)) as file:
            yield from file.iter_batches()


class HeldSink:
    """Holds all parts until the types of all payloads are known; `make` gives the table's sink."""

    def __init__(self, make: Callable[[Type], TableSink]) -> None:
        self._make = make
        self._lines: list[Line] = []

    def append(self, line: Line) -> None:
        self._lines.append(line)

    def finish(self) -> None:
        sink = self._make(merged_type(line.result for line in self._lines))
        try:
            for line in self._lines:
                sink.append(line)
            sink.finish()
        finally:
            sink.close()
