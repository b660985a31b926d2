"""Data directory of the local peer on this machine's disk: its logs, and facts about them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.framing import HEADER_BYTES
from cleancut.core.wal.gate import WalFacts
from cleancut.core.wal.segments import closed_at, open_as
from cleancut_agent.wal.local_dir import LocalWalDir, wal_path
from cleancut_agent.wal.segment_hold import SegmentHold

_LOOKED_AT = 8
_MOUNTS = Path("/proc/self/mountinfo")


class LocalWalStorage:
    """A `WalStorage` on the local disk. Facts are of its first few shards."""

    def __init__(self, path: Path, hold: SegmentHold | None = None) -> None:
        self._path, self._hold = path, hold

    def open(self, collection: str, shard_id: int) -> LocalWalDir:
        return LocalWalDir(wal_path(self._path, collection, shard_id), self._hold)

    def facts(self) -> WalFacts:
        try:
            shards = list(itertools.islice(self._shards(), _LOOKED_AT))
            logs = [one / "wal" for one in shards if (one / "wal").is_dir()]
            heads = [head for wal in logs for head in _heads(wal)]
            return WalFacts(
                storage=str(self._path),
                file_system=file_system_of(self._path),
                peer_id=self._peer(),
                shards=len(shards),
                without_log=str(shards[0]) if shards and not logs else "",
                heads=tuple(heads),
            )
        except OSError as error:
            return WalFacts(storage=str(self._path), problem=error.strerror or str(error))

    def _shards(self) -> Iterator[Path]:
        """Directories of replicas. Raises: OSError, if there is no directory of collections."""
        for collection in sorted(os.listdir(self._path / "collections")):
            base = self._path / "collections" / collection
            if base.is_dir():
                yield from (base / one for one in sorted(os.listdir(base)) if one.isdigit())

    def _peer(self) -> PeerId | None:
        """Source: lib/storage/src/content_manager/consensus/persistent.rs, Qdrant 1.18.3"""
        try:
            found = msgspec.json.decode((self._path / "raft_state.json").read_bytes())
            return PeerId(int(found["this_peer_id"]))
        except (OSError, msgspec.MsgspecError, LookupError, TypeError, ValueError):
            return None


def _heads(wal: Path) -> Iterator[bytes]:
    """The first bytes of each segment; of one removed meanwhile, nothing."""
    for name in _names(wal):
        if closed_at(name) is None and open_as(name) is None:
            continue
        try:
            with (wal / name).open("rb") as file:
                yield file.read(HEADER_BYTES)
        except FileNotFoundError:
            continue


def _names(wal: Path) -> list[str]:
    try:
        return os.listdir(wal)
    except FileNotFoundError:
        return []


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`; empty: unknown. Raises: OSError."""
    place, best, found = os.path.realpath(path, strict=True), "", ""
    for line in _MOUNTS.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        mount = _unescaped(fields.split()[4])
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, found = mount, rest.split()[0]
    return found


def _unescaped(mount: str) -> str:
    """A mount point as the kernel lists it: spaces and the like are octal."""
    return mount.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
