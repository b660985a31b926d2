"""Sinks: parts of shards, in order, become lines of JSON, or one table.

A sink's calls run in a thread, one at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from cleancut.data.job import Part

GROUP_BYTES = 64 << 20
_COPY_BYTES = 1 << 20


class Format(Enum):
    """Of the file that is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"


class Sink(Protocol):
    """Takes the parts of shards, one shard after the other."""

    def append(self, parts: Sequence[Part]) -> None:
        """The parts are removed."""

    def finish(self) -> None:
        """All is written."""


class LineSink:
    """Lines as they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, parts: Sequence[Part]) -> None:
        for part in parts:
            with Path(part.path).open("rb") as lines:
                shutil.copyfileobj(lines, self._file, _COPY_BYTES)
            Path(part.path).unlink()

    def finish(self) -> None:
        self._file.flush()


class TableSink:
    """A table in `target`. Its ids are numbers, or text once a part has UUIDs: what was written by
    then is written again. `facts`: for the file's metadata."""

    def __init__(self, target: Path, form: Format, schema: Any, facts: Mapping[str, str]) -> None:
        self._target = target
        self._form = form
        self._schema = schema.with_metadata({f"cleancut.{key}": facts[key] for key in facts})
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self._writer = self._open(target)

    def append(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part.uuids:
                self._widen()
            with pa.memory_map(part.path) as file:
                reader = pa.ipc.open_file(file)
                for at in range(reader.num_record_batches):
                    self._write(reader.get_batch(at))
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
