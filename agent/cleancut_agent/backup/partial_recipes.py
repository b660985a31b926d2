"""Partial recipes in the agent's own directory: what its last captures have left in the store.

They only save bytes at the next attempt.
"""

from __future__ import annotations

from pathlib import Path

from cleancut.core.format.partial_recipe import PartialRecipe, decode_partial, encode_partial
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut_agent.shard_files import ShardFiles


class PartialRecipes:
    """One file a shard. Blocking: the files are small."""

    def __init__(self, directory: Path) -> None:
        self._files = ShardFiles(directory / "partial")

    def read(self, task: ShardTask) -> PartialRecipe | None:
        """What was left of the shard of `task`, if that is known."""
        data = self._files.read(task.collection, task.shard_id)
        try:
            partial = decode_partial(data) if data is not None else None
        except Corrupt:
            return None
        shard = task.collection, task.shard_id
        return partial if partial and (partial.collection, partial.shard_id) == shard else None

    def put(self, partial: PartialRecipe) -> None:
        """Remembers this one of its shard, if it holds anything."""
        if partial.blocks():
            self._files.put(partial.collection, partial.shard_id, encode_partial(partial))

    def forget(self, before_s: float) -> None:
        """Those that were put before that time are gone."""
        self._files.forget(before_s)
