"""Worlds for the contract of `WalDir`: a real directory, and the one in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from cleancut.ports.wal_dir import WalDir
from cleancut.testing.memory_wal import MemoryDisk
from cleancut_agent.wal.local_dir import LocalWalDir


class World(Protocol):
    """What a process does to the directory that is read."""

    def open(self) -> WalDir: ...
    def create(self, name: str, size_bytes: int = 0) -> None: ...
    def write(self, name: str, offset: int, data: bytes) -> None: ...
    def rename(self, name: str, new: str) -> None: ...
    def unlink(self, name: str) -> None: ...
    def replace(self) -> None: ...
    def remove(self) -> None: ...


class DiskWorld:
    """A directory on this machine."""

    def __init__(self, base: Path) -> None:
        self._base, self._path = base, base / "wal"
        self._path.mkdir()

    def open(self) -> LocalWalDir:
        return LocalWalDir(self._path)

    def create(self, name: str, size_bytes: int = 0) -> None:
        (self._path / name).write_bytes(bytes(size_bytes))

    def write(self, name: str, offset: int, data: bytes) -> None:
        with (self._path / name).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def rename(self, name: str, new: str) -> None:
        (self._path / name).rename(self._path / new)

    def unlink(self, name: str) -> None:
        (self._path / name).unlink()

    def replace(self) -> None:
        shutil.rmtree(self._path)
        self._path.mkdir()

    def remove(self) -> None:
        shutil.rmtree(self._path)


def world_of(kind: str, base: Path) -> World:
    return MemoryDisk() if kind == "memory" else DiskWorld(base)
