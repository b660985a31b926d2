"""Partial recipes in the agent's own directory: what its last captures have left in the store.

They only save bytes at the next attempt, so nothing here fails: what cannot be read or written is
as good as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cleancut.errors import Corrupt
from cleancut.partial import PartialRecipe, decode_partial, encode_partial
from cleancut.records import ShardTask


class Partials:
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

    def replace(self, partials: Iterable[PartialRecipe]) -> None:
        """Remembers these, and none of the others."""
        wanted = {self._file(p.collection, p.shard_id): p for p in partials if p.blocks()}
        with contextlib.suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            for old in set(self._directory.iterdir()) - set(wanted):
                old.unlink()
            for file, partial in wanted.items():
                draft = file.with_suffix(".new")
                draft.write_bytes(encode_partial(partial))
                draft.replace(file)

    def _file(self, collection: str, shard_id: int) -> Path:
        name = hashlib.sha256(f"{collection}/{shard_id}".encode()).hexdigest()
        return self._directory / name
