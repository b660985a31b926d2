"""Segment directories on a disk, with files as old as a test needs them."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

import pytest

from cleancut.core.capture.gate import PROVING_FILE_SYSTEMS
from cleancut.core.capture.proof import SETTLED_NS
from cleancut_agent.capture.mounts import mount_of

BIG_BYTES = 256 << 10


def needs_proving_disk(path: Path) -> None:
    """Skips the test where `path` lies on a file system that proves nothing."""
    handle = os.open(path, os.O_RDONLY)
    try:
        found = mount_of(handle).file_system
    finally:
        os.close(handle)
    if found not in PROVING_FILE_SYSTEMS:
        pytest.skip(f"{path} lies on {found or 'an unknown file system'}")


def made(segments: Path, path: str, size_bytes: int = BIG_BYTES) -> Path:
    """A file of other bytes than any other."""
    file = segments / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((path.encode() * (size_bytes // len(path) + 1))[:size_bytes])
    return file


def later_ns() -> int:
    """A time at which all that was written until now has settled."""
    return time.time_ns() + SETTLED_NS


class Mapped:
    """A file that is written through a mapping, as Qdrant does it."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    def store(self, at: int = 0, data: bytes = b"\xff") -> None:
        self._map[at : at + len(data)] = data

    def close(self) -> None:
        self._map.close()
