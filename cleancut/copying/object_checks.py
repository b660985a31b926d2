"""Checks of objects while they are copied. A pack has no digest of its own, its blocks have."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from cleancut.core.format.page import PACK_BYTES, PACKED_KINDS, Block, Page
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.shards.tar_assembler import is_intact

T = TypeVar("T")
_INLINE_BYTES = 64 * 1024
MAX_BLOCKS = 64 * 1024
"""Blocks that are known at a time: 8 GiB of a shard, about 20 MiB of memory."""


@dataclass(slots=True)
class PackChecks:
    """The blocks of some pages by the pack that holds them, and the shard that needs each pack."""

    blocks: dict[str, list[tuple[Block, int]]] = field(default_factory=dict)
    needed_by: dict[str, str] = field(default_factory=dict)
    number: int = 0

    @property
    def full(self) -> bool:
        return self.number >= MAX_BLOCKS

    def add(self, page: Page, raw_sizes: Iterator[int], shard: str, wanted: frozenset[str]) -> None:
        """The blocks of `page` in `wanted` packs. `raw_sizes`: of its blocks, in order."""
        for slot in range(len(page)):
            block, raw_bytes = page.block(slot), next(raw_sizes)
            if block.kind in PACKED_KINDS and block.pack in wanted:
                self.blocks.setdefault(block.pack, []).append((block, raw_bytes))
                self.needed_by.setdefault(block.pack, shard)
                self.number += 1

    def check(self, pack: str, contents: bytes) -> None:
        """Raises: Corrupt, unless every known block of `pack` is what its digest says."""
        view = memoryview(contents)
        if len(view) > PACK_BYTES:
            raise Corrupt(f"pack {pack} has {len(view)} bytes, more than any pack")
        for block, raw_bytes in self.blocks[pack]:
            stored = view[block.offset :][: block.length]
            if len(stored) < block.length or not is_intact(block, stored, raw_bytes):
                raise Corrupt(f"pack {pack} is damaged at byte {block.offset}")


async def checked(contents: bytes, check: Callable[[bytes], T]) -> T:
    """What `check` makes of `contents`; in a thread, if that may take long."""
    if len(contents) <= _INLINE_BYTES:
        return check(contents)
    return await asyncio.to_thread(check, contents)


def check_named(sha256: str, contents: bytes) -> None:
    """Raises: Corrupt, unless a document is the one that its name says."""
    if hashlib.sha256(contents).hexdigest() != sha256:
        raise Corrupt(f"document {sha256} holds other bytes than its name says")
