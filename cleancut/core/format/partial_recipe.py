"""Partial recipe: the remains in the store of a capture without a group, for the next attempt.

Pure: records and their checks. It is a hint, not a proof: a user of it first asks the store which
packs exist, and a block counts only by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cleancut.core.format.page import Page
from cleancut.core.format.recipe import PageRef
from cleancut.core.primitives.errors import Corrupt


class PartialRecipe(msgspec.Struct, frozen=True, array_like=True):
    """The finished part of a shard's capture: `members` are paths and the number of their blocks in
    `pages`, from the first on; `kept` are the pages that did not reach the store.

    `origins`: the sessions (`<epoch>/<session id>`) whose packs count, the newest first.
    """

    collection: str
    shard_id: int
    origins: tuple[str, ...]
    members: tuple[tuple[str, int], ...]
    pages: tuple[PageRef, ...]
    kept: tuple[tuple[str, Page], ...]

    def blocks(self) -> int:
        return sum(ref.blocks for ref in self.pages)


def first_blocks(members: Iterable[tuple[str, int]], limit: int) -> tuple[tuple[str, int], ...]:
    """The same members up to `limit` blocks of all of them together."""
    found = []
    for path, blocks in members:
        found.append((path, min(blocks, limit)))
        limit -= found[-1][1]
        if not limit:
            break
    return tuple(found)


def encode_partial(partial: PartialRecipe) -> bytes:
    return msgspec.msgpack.encode(partial)


def decode_partial(data: bytes) -> PartialRecipe:
    """Raises: Corrupt."""
    try:
        partial = msgspec.msgpack.decode(data, type=PartialRecipe)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"partial recipe cannot be read: {error}") from error
    if partial.blocks() != sum(blocks for _, blocks in partial.members):
        raise Corrupt("partial recipe does not add up")
    return partial
