"""Parts of a table: files of Arrow batches of one shard, each with one kind of id."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any, Self

import pyarrow as pa

from cleancut.data.job import Part, ShardJob
from cleancut.data.records import batch_of, schema_of
from cleancut.engine.shard import id_of


def key_type(shard_key: str | int | None, *, text: bool) -> Any:
    """The type of the column of shard keys; `text`: some key of the collection is text."""
    if shard_key is None:
        return None
    return pa.string() if text else pa.uint64()


class TableParts:
    """Writes records, sorted by id: numbers, then UUIDs. `written`: what was written by its end."""

    def __init__(self, job: ShardJob) -> None:
        self.written: list[Part] = []
        self._job = job
        self._writer: Any = None
        self._uuids = False
        self._points = 0
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._end()

    def write(self, records: Sequence[Any]) -> int:
        """How many bytes they took."""
        size = 0
        for uuids, group in groupby(records, key=lambda one: isinstance(id_of(one), str)):
            if self._writer is None or uuids != self._uuids:
                self._begin(uuids=uuids)
            chosen = list(group)
            batch = batch_of(chosen, self._job.columns, self._schema, self._job.shard_key)
            self._writer.write_batch(batch)
            self._points += len(chosen)
            size += batch.nbytes
        return size

    def _begin(self, *, uuids: bool) -> None:
        self._end()
        self._uuids, self._points = uuids, 0
        kind = key_type(self._job.shard_key, text=self._job.text_keys)
        self._schema = schema_of(self._job.columns, uuids=uuids, key_type=kind)
        path = f"{self._job.out}.{len(self.written)}"
        file = self._files.enter_context(pa.OSFile(path, "wb"))
        self._writer = self._files.enter_context(pa.ipc.new_file(file, self._schema))

    def _end(self) -> None:
        if self._writer is None:
            return
        self._files.close()
        self._writer = None
        path = f"{self._job.out}.{len(self.written)}"
        self.written.append(Part(path, self._points, self._uuids))
