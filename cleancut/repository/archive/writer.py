"""Writer of the archive: a stream of chunks, records of chains and marks. Each is written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cleancut.core.archive.chunk import make_chunk
from cleancut.core.archive.records import Chain, ChainEnd, ChunkHead, ChunkPart, Mark
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.ports.store import Store


class _Made(NamedTuple):
    head: ChunkHead
    digest: str
    path: str
    data: bytes


class ChunkStream:
    """The chunks of one run of a process. `stream`: its random id.

    Order: `make`, then `put` until it returns; only then the next one.
    """

    def __init__(self, store: Store, paths: Paths, stream: str) -> None:
        self._store, self._paths = store, paths
        self.stream = stream
        self._number = 0
        self._previous = ""
        self._made: _Made | None = None

    @property
    def pending(self) -> bool:
        """Whether a chunk was made that is not stored yet, as far as is known."""
        return self._made is not None

    def make(self, body: bytes, parts: Sequence[ChunkPart], made_at_ms: int) -> None:
        """The next chunk. `body`: see `compress_body`."""
        assert self._made is None
        head, digest, data = make_chunk(
            body,
            parts,
            stream=self.stream,
            number=self._number,
            previous=self._previous,
            made_at_ms=made_at_ms,
        )
        path = self._paths.archive_chunk(self.stream, self._number, made_at_ms)
        self._made = _Made(head, digest, path, data)

    async def put(self) -> tuple[ChunkHead, int]:
        """Stores the chunk that was made; its head, and the bytes of the object.

        Order: repeatable, since an answer may be lost. Raises: what the store does.
        """
        assert self._made is not None
        made = self._made
        await self._store.put(made.path, made.data)
        self._made, self._previous = None, made.digest
        self._number += 1
        return made.head, len(made.data)


async def put_chain(store: Store, paths: Paths, chain: Chain) -> None:
    """Raises: what the store does."""
    await store.put(paths.archive_chain(chain.id), encode(chain))


async def put_end(store: Store, paths: Paths, end: ChainEnd) -> None:
    """Raises: what the store does; Refused, if the chain has ended in another way already."""
    await store.put(paths.archive_end(end.chain), encode(end))


async def put_mark(store: Store, paths: Paths, mark: Mark, nonce: str) -> None:
    """`nonce`: names a mark without a name. Raises: what the store does."""
    await store.put(paths.archive_mark(mark.at_ms, mark.name or nonce), encode(mark))
