"""Request for a partial snapshot without the files that are captured another way, and the list of
files that each segment's part of the answer begins with.

A file is sent unless the request knows it under a version at least as new as the server's, so a
manifest with the greatest version of each file leaves out exactly those.
Shape: JSON. Source: lib/segment/src/segment/snapshot.rs, lib/segment/src/data_types/manifest.rs,
    Qdrant 1.18.3; D19
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from cleancut.core.capture.proof import ALWAYS_SENT
from cleancut.core.primitives.errors import Corrupt

MAX_BODY_BYTES = 2_000_000
"""Qdrant refuses bodies over 2 MiB."""
SEGMENT_MANIFEST = "segment_manifest.json"
MAX_MANIFEST_BYTES = 64 << 20
_MAX_FILES = 1_000_000
_MAX_PATH_BYTES = 4096
_NEWEST = 2**63 - 1
_SHOWN = 3


class _Segment(msgspec.Struct):
    segment_id: str
    segment_version: int
    file_versions: dict[str, int]


class _Sent(msgspec.Struct):
    segment_id: str
    file_versions: dict[str, object]


class LeaveOut(NamedTuple):
    """`body`: of the request. `files`: those that it leaves out."""

    body: bytes
    files: frozenset[str]


def leave_out(files: Mapping[str, int], limit_bytes: int = MAX_BODY_BYTES) -> LeaveOut:
    """A request without `files`: paths `<segment>/<relative>` and what each saves. Where not all of
    them fit in `limit_bytes`, the smallest are sent after all."""
    chosen: dict[str, list[str]] = {}
    size = len(_body(chosen))
    for path in sorted(files, key=lambda one: (-files[one], one)):
        segment, relative = path.split("/", 1)
        entry = len(_json(relative)) + len(f":{_NEWEST},")
        if segment not in chosen:
            entry += len(_body({segment: []}))
        if size + entry > limit_bytes:
            break
        chosen.setdefault(segment, []).append(relative)
        size += entry
    left = frozenset(f"{segment}/{one}" for segment, names in chosen.items() for one in names)
    return LeaveOut(_body(chosen), left)


def _body(chosen: Mapping[str, list[str]]) -> bytes:
    return _json(
        {
            segment: _Segment(segment, _NEWEST, dict.fromkeys(sorted(names), _NEWEST))
            for segment, names in sorted(chosen.items())
        }
    )


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def read_manifest(data: bytes, segment: str) -> frozenset[str]:
    """The files of `segment` at the cut, as paths relative to it, with those that are in each
    segment's part of a stream anyway.

    Raises: Corrupt.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise Corrupt(f"list of files of segment {segment} has {len(data)} bytes")
    try:
        sent = msgspec.json.decode(data, type=_Sent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"list of files of segment {segment} cannot be read: {error}") from error
    if sent.segment_id != segment:
        raise Corrupt(f"list of files of segment {segment} is of {sent.segment_id[:80]!r}")
    if len(sent.file_versions) > _MAX_FILES:
        raise Corrupt(f"list of files of segment {segment} has {len(sent.file_versions)} files")
    for path in sent.file_versions:
        if not is_inside(path):
            raise Corrupt(f"list of files of segment {segment} has the path {path[:200]!r}")
    return frozenset(sent.file_versions) | ALWAYS_SENT


def member_path(path: str) -> str:
    """The path in a shard's tar of a file `<segment>/<relative>`."""
    segment, _, relative = path.partition("/")
    return f"segments/{segment}/files/{relative}"


def is_inside(path: str) -> bool:
    """Whether a path is plain and relative: no part of it leads elsewhere."""
    parts = path.split("/")
    return (
        all(part not in {"", ".", ".."} for part in parts)
        and "\0" not in path
        and len(path.encode("utf-8", "surrogatepass")) <= _MAX_PATH_BYTES
    )


def missing(
    listed: Mapping[str, Iterable[str]],
    *,
    received: Iterable[str],
    kept: Iterable[str],
    direct: Iterable[str],
) -> list[str]:
    """Files of the segments at the cut that are neither streamed, kept nor read from the disk.

    `listed`: of each segment, what `read_manifest` returns; all others are `<segment>/<relative>`.
    Only proven files belong in `kept` and `direct`.
    """
    there = {*received, *kept, *direct}
    return sorted(
        path
        for segment, names in listed.items()
        for path in (f"{segment}/{name}" for name in names)
        if path not in there
    )


def in_words(paths: list[str]) -> str:
    """The first few of them, for an error."""
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
