"""Journal of the embedded etcd: one file of checksummed lines, durable line by line.

Shape: each line is the CRC-32C of the rest in 8 hexadecimal digits, a space, and JSON: first the
head, then the keys as they were at its revision, then one line for each later revision. Keys and
values are text, bytes that are not UTF-8 as lone surrogates.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import google_crc32c
import msgspec

from cleancut.core.primitives.errors import Corrupt, Refused, TimedOut, Unavailable
from cleancut.etcd.embedded.model import EtcdSnapshot
from cleancut.ports.coordination import Change, KeyValue
from cleancut.runtime.directories import sync_directory

P = ParamSpec("P")
FORMAT = 1
GROWN_BYTES = 4 << 20
"""Least size at which the file is written again without what is outdated; beyond it, four times
the size that it had then."""
_DIGITS = 8


class Head(msgspec.Struct, frozen=True):
    """The first line. `keys`: how many lines of keys follow. `cluster_id`: as etcd's own, random:
    another directory is another etcd."""

    format: int
    cluster_id: int
    revision: int
    keys: int


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A key as it is at a revision. `created` 0: it was deleted."""

    key: str
    value: str
    created: int
    modified: int
    lease: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a journal says. `cut_bytes`: of a last line that was never finished, and is dropped."""

    cluster_id: int
    revision: int
    keys: dict[str, KeyValue]
    size_bytes: int
    cut_bytes: int = 0


class Journal:
    """The file, and the thread that writes it. One process, one writer.

    **Invariant:** `revision` is the newest one that is durable. After a write that failed, the
    file is written as a whole before anything is added to it.
    """

    def __init__(self, path: Path, loaded: Loaded) -> None:
        self._path, self._cluster_id = path, loaded.cluster_id
        self.revision = loaded.revision
        self._size = self._base = loaded.size_bytes
        self._file: int | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")

    def is_due(self) -> bool:
        """Whether the file is to be written as a whole first."""
        return self._file is None or self._size > max(GROWN_BYTES, 4 * self._base)

    async def run(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """`act` in the journal's thread. A caller that is cancelled waits for its end as well."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, lambda: act(*args, **kwargs))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled from running.exception()
        running.result()

    def append(self, revision: int, changes: tuple[Change, ...]) -> None:
        """Durable when it returns. Raises: TimedOut, if that is not known."""
        line = _framed([revision, [_line(change.kv) for change in changes]])
        assert self._file is not None
        try:
            _write(self._file, line)
            os.fdatasync(self._file)
        except OSError as error:
            self._drop()
            raise TimedOut(
                f"a write's outcome is unknown: {self._path}: {error}",
                "check the disk of the state directory",
            ) from error
        self._size += len(line)
        self.revision = revision

    def rewrite(self, now: EtcdSnapshot) -> None:
        """The file holds these keys alone, and what is added from now on.

        Raises: Unavailable; the file is then as it was.
        """
        lines = [_framed(Head(FORMAT, self._cluster_id, now.revision, len(now.keys)))]
        lines += [_framed(_line(kv)) for kv in now.keys.values()]
        body = b"".join(lines)
        draft = self._path.with_suffix(".new")
        self._drop()
        try:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _write(file, body)
                os.fsync(file)
                os.rename(draft, self._path)
                sync_directory(self._path.parent)
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            raise Unavailable(
                f"cannot write {self._path}: {error}", "check the disk of the state directory"
            ) from error
        self._file = file
        self._size = self._base = len(body)

    def close(self) -> None:
        self._pool.shutdown()
        self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def new_journal() -> Loaded:
    """What an empty directory says: an etcd that no other one is."""
    return Loaded(cluster_id=secrets.randbits(62) + 1, revision=1, keys={}, size_bytes=0)


def read_journal(path: Path) -> Loaded | None:
    """None, if there is no file. Only its last line may be unfinished: it was never acknowledged.

    Raises: Corrupt; Refused, if it cannot be read.
    """
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"cannot read {path}: {error}", "check the owner of --state") from error
    lines = _unframed(path, body)
    number, text = 1, next(lines, None)
    if text is None:
        raise _damaged(path, 1, "it has no first line")
    head = _decoded(path, number, (text, Head))
    if head.format != FORMAT:
        raise Refused(f"{path} has format {head.format}", "a newer cleancut wrote it: use that one")
    keys: dict[str, KeyValue] = {}
    revision, used = head.revision, _length(text)
    for number, text in enumerate(lines, 2):
        used += _length(text)
        if number <= head.keys + 1:
            line = _decoded(path, number, (text, Line))
            keys[line.key] = _kv(line)
            continue
        found, changes = _decoded(path, number, (text, tuple[int, list[Line]]))
        if found != revision + 1:
            raise _damaged(path, number, f"revision {found} follows {revision}")
        revision = found
        for line in changes:
            if line.created:
                keys[line.key] = _kv(line)
            else:
                keys.pop(line.key, None)
    if number < head.keys + 1:
        raise _damaged(path, number + 1, f"{head.keys} keys are missing")
    return Loaded(head.cluster_id, revision, keys, used, len(body) - used)


def _unframed(path: Path, body: bytes) -> Iterator[bytes]:
    """The JSON of each line, up to an unfinished last one. Raises: Corrupt."""
    start, number = 0, 1
    while start < len(body):
        end = body.find(b"\n", start)
        text = body[start + _DIGITS + 1 : end]
        if end < 0 or body[start : start + _DIGITS + 1] != _checksum(text) + b" ":
            if 0 <= end < len(body) - 1:
                raise _damaged(path, number, "its checksum is wrong, and lines follow it")
            return
        yield text
        start, number = end + 1, number + 1


def _decoded(path: Path, number: int, expected: tuple[bytes, Any]) -> Any:
    text, kind = expected
    try:
        return msgspec.convert(json.loads(text), kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise _damaged(path, number, str(error)) from error


def _damaged(path: Path, number: int, why: str) -> Corrupt:
    return Corrupt(
        f"line {number} of {path} is damaged: {why}",
        "move the state directory away, start again, then run `cleancut adopt`: the store holds"
        " all backups, and epochs go on above the newest of them",
    )


def _framed(value: Any) -> bytes:
    text = json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()
    return b"%b %b\n" % (_checksum(text), text)


def _length(text: bytes) -> int:
    return _DIGITS + 1 + len(text) + 1


def _checksum(text: bytes) -> bytes:
    return b"%08x" % google_crc32c.value(text)


def _line(kv: KeyValue) -> Line:
    value = kv.value.decode("utf-8", "surrogateescape")
    return Line(kv.key, value, kv.create_revision, kv.mod_revision, kv.lease)


def _kv(line: Line) -> KeyValue:
    value = line.value.encode("utf-8", "surrogateescape")
    return KeyValue(line.key, value, line.created, line.modified, line.lease)


def _write(file: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(file, view) :]
