"""Garbage of the archive in a store: found by `find_archive_garbage`, and deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from cleancut.core.archive.retention import ArchiveFacts, ChunkFacts, find_archive_garbage
from cleancut.core.format.paths import Paths, parse_chunk_name, parse_mark_ms
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut.repository.archive.bases import BaseReader
from cleancut.repository.archive.reader import read_chains, read_chunk_head, read_ends
from cleancut.runtime.concurrency import run_all

READ_AT_MOST = 2000
"""Heads of chunks that one run reads; the rest waits for the next."""
_AT_ONCE = 16
_PART = 500


class Sizes(NamedTuple):
    """What was deleted, or would be."""

    objects: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveRules:
    """`keep_ms`: the age at which all goes that no hold needs. `grace_ms`: how long a chain that
    has ended waits for a backup under way. `held`: groups that a hold or a restore needs;
    `following`: chains that agents follow now."""

    now_ms: int
    keep_ms: int
    grace_ms: int
    held: Collection[Epoch]
    following: Collection[str]


class ArchiveCollector:
    """Chunks never change, so each head is read once."""

    def __init__(self, store: Store, paths: Paths, bases: BaseReader) -> None:
        self._store, self._paths, self._bases = store, paths, bases
        self._parts: dict[str, tuple[tuple[str, int], ...]] = {}

    async def collect(
        self, rules: ArchiveRules, *, dry_run: bool, check: Callable[[], None]
    ) -> Sizes:
        """Deletes what nothing needs any more. `check`: raises, if this process may not go on.

        Order: chunks before the records of their chains, so that a run that is interrupted is
        repeated. Raises: what the store does.
        """
        sizes = {info.path: info.size_bytes async for info in self._store.list(self._paths.archive)}
        if not sizes:
            return Sizes()
        garbage = find_archive_garbage(await self._facts(rules, list(sizes)))
        paths = [*garbage.chunks, *garbage.marks]
        for chain in garbage.chains:
            paths += [self._paths.archive_end(chain), self._paths.archive_chain(chain)]
        paths = [path for path in paths if path in sizes]
        for start in range(0, 0 if dry_run else len(paths), _PART):
            check()
            part = paths[start : start + _PART]
            await run_all([partial(self._store.delete, path) for path in part], _AT_ONCE)
        return Sizes(len(paths), sum(sizes[path] for path in paths))

    async def _facts(self, rules: ArchiveRules, paths: Sequence[str]) -> ArchiveFacts:
        """Order: chains are read after they were listed, and bases last: a base that comes
        meanwhile only adds to what is needed."""
        made, marks = {}, {}
        for path in paths:
            name = self._paths.parse(path).name
            chunk = parse_chunk_name(name) if path.startswith(self._paths.archive_chunks) else None
            if chunk is not None:
                made[path] = chunk.made_at_ms
            elif path.startswith(self._paths.archive_marks):
                at_ms = parse_mark_ms(name)
                if at_ms is not None:
                    marks[path] = at_ms
        oldest_ms = rules.now_ms - rules.keep_ms
        self._parts = {path: self._parts[path] for path in made if path in self._parts}
        unread = [path for path in made if path not in self._parts]
        wanted = [path for path in unread if made[path] >= oldest_ms or rules.held]
        wanted = sorted(wanted, key=made.__getitem__)[:READ_AT_MOST]
        await run_all([partial(self._read, path) for path in wanted], _AT_ONCE)
        return ArchiveFacts(
            now_ms=rules.now_ms,
            keep_ms=rules.keep_ms,
            grace_ms=rules.grace_ms,
            chunks=[ChunkFacts(path, at, self._parts.get(path)) for path, at in made.items()],
            chains=await read_chains(self._store, self._paths),
            ends=await read_ends(self._store, self._paths),
            marks=marks,
            bases=await self._bases.read(),
            held=rules.held,
            following=rules.following,
        )

    async def _read(self, path: str) -> None:
        """One that cannot be read stays unknown, and so until it is old."""
        try:
            head = (await read_chunk_head(self._store, path)).head
        except (Corrupt, NotFound, Refused):
            return
        self._parts[path] = tuple((part.chain, part.last) for part in head.parts)
