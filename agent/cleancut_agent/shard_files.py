"""Files of an agent's own directory, one for each shard: what saves work the next time.

Nothing here fails: what cannot be read or written counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

MAX_SHARDS = 10_000
"""Of a shard beyond them, nothing is kept."""


class ShardFiles:
    """Of one kind, in `directory`. Blocking: the files are small."""

    def __init__(self, directory: Path, most: int = MAX_SHARDS) -> None:
        self._directory, self._most = directory, most

    def read(self, collection: str, shard_id: int, most_bytes: int = -1) -> bytes | None:
        """The first `most_bytes` of what was put last; None: nothing."""
        try:
            with self._file(collection, shard_id).open("rb") as file:
                return file.read(most_bytes)
        except OSError:
            return None

    def put(self, collection: str, shard_id: int, data: bytes) -> None:
        """In the place of what was there."""
        file = self._file(collection, shard_id)
        with contextlib.suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            if not file.exists() and len(list(self._directory.iterdir())) >= self._most:
                return
            draft = file.with_suffix(".new")
            draft.write_bytes(data)
            draft.replace(file)

    def drop(self, collection: str, shard_id: int) -> None:
        """Nothing is there any more."""
        with contextlib.suppress(OSError):
            self._file(collection, shard_id).unlink(missing_ok=True)

    def forget(self, before_s: float) -> None:
        """What was put before that time is gone; so is what a killed process was at."""
        with contextlib.suppress(OSError):
            for file in list(self._directory.iterdir()):
                if file.suffix or file.stat().st_mtime < before_s:
                    file.unlink(missing_ok=True)

    def _file(self, collection: str, shard_id: int) -> Path:
        return self._directory / hashlib.sha256(f"{collection}/{shard_id}".encode()).hexdigest()
