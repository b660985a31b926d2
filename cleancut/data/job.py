"""Job of a process that opens one shard: what it is asked, and what it answers, line by line.

The engine holds the interpreter in every call, so each shard is opened in a process of its own:
several run at a time, and what one does to its memory ends with it.
Shape: the job is one JSON document on stdin; on stdout a JSON line each for progress, then the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from cleancut.core.points.columns import VectorColumn
from cleancut.core.points.selection import PointId, Selection
from cleancut.core.primitives.errors import CleancutError, Refused

PROGRESS_S = 1.0


class Search(msgspec.Struct, frozen=True):
    """The points nearest to `target` by the vector `using`; of all but those in `without`.
    `exact`: by the original vectors, not by an index."""

    target: Any
    using: str
    limit: int
    exact: bool = True
    without: tuple[PointId, ...] = ()


class ShardJob(msgspec.Struct, frozen=True):
    """Of the shard in `tar`, which is removed, unpacked into `directory`: writes the points of
    `selection` to files that begin with `out`.

    `task`: what is written, `lines` of JSON, `table` (Arrow) or `digests`; or what is answered:
    `search`, or the `vectors` of the selected points. `columns`: the vectors
    to write; none for none. `expected`: how many points there are, if that is known. `text_keys`:
    some shard key of the collection is text. `payload_type`: that of all payloads is answered.
    """

    task: str
    out: str
    tar: str = ""
    directory: str = ""
    selection: Selection = Selection()
    columns: tuple[VectorColumn, ...] = ()
    shard_key: str | int | None = None
    expected: int | None = None
    text_keys: bool = False
    payload_type: bool = False
    search: Search | None = None


class Part(msgspec.Struct, frozen=True):
    """A file that was written: its points, and whether their ids are UUIDs."""

    path: str
    points: int
    uuids: bool = False


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress (`points` so far), the end (`parts`), or a failure (`reason`)."""

    points: int = 0
    parts: tuple[Part, ...] | None = None
    result: Any = None
    reason: str = ""
    message: str = ""
    hint: str = ""


def say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def answer(do: Callable[[], Line], writes: str) -> None:
    """Says what `do` gives, or its failure. `writes`: what cannot be written, if the system does
    not name it."""
    try:
        line = do()
    except CleancutError as error:
        line = Line(reason=error.reason, message=error.message, hint=error.hint)
    except OSError as error:
        line = Line(
            reason=Refused.reason,
            message=f"cannot write {error.filename or writes}: {error.strerror}",
            hint="name another directory with --scratch",
        )
    say(line)
