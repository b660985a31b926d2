"""Partial recipes in the agent's own directory: what its last captures have left in the store.

They only save bytes at the next attempt, so nothing here fails: what cannot be read or written is
as good as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from cleancut.core.format.partial_recipe import PartialRecipe, decode_partial, encode_partial
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.etcd_records import ShardTask


class PartialRecipes:
    """One file a shard. Blocking: the files are small."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "partial"

    def read(self, task: ShardTask) -> PartialRecipe | None:
        """What was left of the shard of `task`, if that is known."""
        try:
            partial = decode_partial(self._file(task.collection, task.shard_id).read_bytes())
        except (OSError, Corrupt):
            return None
        names = (partial.collection, partial.shard_id) == (task.collection, task.shard_id)
        return partial if names else None

    def put(self, partial: PartialRecipe) -> None:
        """Remembers this one of its shard, if it holds anything."""
        file = self._file(partial.collection, partial.shard_id)
        if not partial.blocks():
            return
        with contextlib.suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            draft = file.with_suffix(".new")
            draft.write_bytes(encode_partial(partial))
            draft.replace(file)

    def forget(self, before_s: float) -> None:
        """Those that were put before that time are gone; so is what a killed process was at."""
        with contextlib.suppress(OSError):
            for file in list(self._directory.iterdir()):
                if file.suffix or file.stat().st_mtime < before_s:
                    file.unlink()

    def _file(self, collection: str, shard_id: int) -> Path:
        name = hashlib.sha256(f"{collection}/{shard_id}".encode()).hexdigest()
        return self._directory / name
