"""Checks of packs while they are copied: a pack has no digest of its own, its blocks have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cleancut.core.format.page import PACK_BYTES, PACKED_KINDS, Block, Page
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.shards.tar_assembler import is_intact

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
