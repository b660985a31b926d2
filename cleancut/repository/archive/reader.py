"""Archive of logs in a store: chains, marks, and which entries are there; reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Self, TypeVar

from cleancut.core.archive.chunk import START_BYTES, head_bytes, open_body, parse_head
from cleancut.core.archive.records import Chain, ChainEnd, ChunkHead, ChunkPart, Look, Mark
from cleancut.core.archive.views import steady
from cleancut.core.format.paths import Paths, parse_chunk_name, parse_mark_ms
from cleancut.core.primitives.codec import Record, decode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.wal.tail import WalEntry
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.runtime.concurrency import run_all

AROUND_MS = 120_000
"""A chunk is made at most so long after its entries, if all goes well."""
_AT_ONCE = 16
_FIRST_READ = 64 << 10
"""Read of a chunk at first: nearly always its whole head."""
_HINT = "what is before and after it can be restored; take a new backup as a base"
R = TypeVar("R", bound=Record)


async def read_chains(store: Store, paths: Paths) -> dict[str, Chain]:
    """All chains by id, but for records that are damaged. Raises: what the store does."""
    found = await _read_all(store, paths.archive_chains, Chain)
    return {chain.id: chain for chain in found}


async def read_ends(store: Store, paths: Paths) -> dict[str, ChainEnd]:
    """How chains ended, by their ids. Raises: as `read_chains`."""
    found = await _read_all(store, paths.archive_ends, ChainEnd)
    return {end.chain: end for end in found}


async def list_marks(store: Store, paths: Paths) -> dict[str, int]:
    """When each mark was taken, by path. Raises: what the store does."""
    times = {
        info.path: parse_mark_ms(paths.parse(info.path).name)
        async for info in store.list(paths.archive_marks)
    }
    return {path: at_ms for path, at_ms in times.items() if at_ms is not None}


async def read_listed_marks(store: Store, listed: Iterable[str]) -> list[Mark]:
    """The marks at these paths, in their order. Raises: as `read_chains`."""
    return await _read(store, listed, Mark)


async def read_marks(store: Store, paths: Paths, since_ms: int, until_ms: int) -> list[Mark]:
    """The marks taken from `since_ms` to `until_ms`, oldest first. Raises: as
    `read_chains`."""
    times = await list_marks(store, paths)
    wanted = [path for path, at_ms in times.items() if since_ms <= at_ms <= until_ms]
    return sorted(await read_listed_marks(store, wanted), key=lambda mark: mark.at_ms)


async def _read_all(store: Store, prefix: str, kind: type[R]) -> list[R]:
    return await _read(store, [info.path async for info in store.list(prefix)], kind)


async def _read(store: Store, paths: Iterable[str], kind: type[R]) -> list[R]:
    async def read(path: str) -> R | None:
        try:
            return decode(kind, await read_document(store, path), path)
        except (NotFound, Corrupt):
            return None  # deleted meanwhile, or damaged: what it says is not known

    found = await run_all([partial(read, path) for path in paths], _AT_ONCE)
    return [one for one in found if one is not None]


class StoredChunk(NamedTuple):
    """A chunk whose head was read. `size_bytes`: of the object, without its body."""

    path: str
    head: ChunkHead
    digest: str
    size_bytes: int


async def read_chunk_head(store: Store, path: str) -> StoredChunk:
    """Raises: Corrupt, also if the head is of another chunk than the path says; Refused, for
    another format; and what the store does."""
    data = await store.get(path, 0, _FIRST_READ)
    end = START_BYTES + head_bytes(data[:START_BYTES], path)
    if end > len(data):
        data += await store.get(path, len(data), end - len(data))
    head, digest = parse_head(data[START_BYTES:end], path)
    if not path.endswith(f"/{head.stream}/{head.number:012d}-{head.made_at_ms:013d}"):
        raise Corrupt(f"{path} holds chunk {head.number} of stream {head.stream}", _HINT)
    return StoredChunk(path, head, digest, end)


async def read_chunk(store: Store, chunk: StoredChunk) -> dict[str, list[WalEntry]]:
    """The entries in it, by chain. Raises: Corrupt, and what the store does."""
    body = await store.get(chunk.path, chunk.size_bytes, chunk.head.body_bytes)
    data, at, found = open_body(chunk.head, body, chunk.path), 0, dict[str, list[WalEntry]]()
    for part in chunk.head.parts:
        entries = found.setdefault(part.chain, [])
        for index, length in enumerate(part.lengths, part.first):
            entries.append(WalEntry(index, data[at : at + length]))
            at += length
    return found


class _Piece(NamedTuple):
    part: ChunkPart
    chunk: StoredChunk


class ArchiveIndex:
    """Which entries of some chains are stored, and where.

    Only what hangs together counts: a chunk that cannot be read, or whose head does not follow the
    one before it in its stream, is left out, and `damaged` says why, by path.
    """

    def __init__(
        self, store: Store, chunks: Iterable[StoredChunk], damaged: Mapping[str, str]
    ) -> None:
        self._store = store
        self.damaged = dict(damaged)
        self._pieces: dict[str, list[_Piece]] = {}
        for chunk in self._trusted(chunks):
            for part in chunk.head.parts:
                self._pieces.setdefault(part.chain, []).append(_Piece(part, chunk))
        for pieces in self._pieces.values():
            pieces.sort(key=lambda piece: (piece.part.first, piece.part.last))

    @classmethod
    async def load(
        cls, store: Store, paths: Paths, *, chains: Collection[str], since_ms: int, until_ms: int
    ) -> Self:
        """Of the chunks that were made from `since_ms` to `until_ms`, what is in them of `chains`.

        Raises: what the store does.
        """
        wanted = []
        async for info in store.list(paths.archive_chunks):
            name = parse_chunk_name(paths.parse(info.path).name)
            if name is not None and since_ms <= name.made_at_ms <= until_ms:
                wanted.append(info.path)
        damaged: dict[str, str] = {}

        async def read(path: str) -> StoredChunk | None:
            try:
                return await read_chunk_head(store, path)
            except NotFound:
                return None  # deleted meanwhile
            except (Corrupt, Refused) as error:  # also of a format that is not read here
                damaged[path] = error.message
                return None

        found = await run_all([partial(read, path) for path in wanted], _AT_ONCE)
        index = cls(store, (chunk for chunk in found if chunk is not None), damaged)
        index._pieces = {chain: index._pieces[chain] for chain in chains if chain in index._pieces}
        return index

    def _trusted(self, chunks: Iterable[StoredChunk]) -> list[StoredChunk]:
        ordered = sorted(chunks, key=lambda chunk: (chunk.head.stream, chunk.head.number))
        bad = set()
        for before, chunk in pairwise(ordered):
            follows = (before.head.stream, before.head.number + 1)
            adjacent = follows == (chunk.head.stream, chunk.head.number)
            if adjacent and chunk.head.previous != before.digest:
                bad.add(chunk.path)
                self.damaged[chunk.path] = f"{chunk.path} does not follow {before.path}"
        return [chunk for chunk in ordered if chunk.path not in bad]

    def ranges(self, chain: str) -> list[tuple[int, int]]:
        """The stored entries of `chain`, first and last of each unbroken range."""
        found: list[tuple[int, int]] = []
        for part, _ in self._pieces.get(chain, ()):
            if found and part.first <= found[-1][1] + 1:
                found[-1] = (found[-1][0], max(found[-1][1], part.last))
            else:
                found.append((part.first, part.last))
        return found

    def coverage(self, chain: str) -> tuple[int, int]:
        """The first unbroken range of `chain`; (0, -1): nothing is there. See `holes`."""
        return next(iter(self.ranges(chain)), (0, -1))

    def holes(self, chain: str) -> list[tuple[int, int]]:
        """What is missing between the stored entries of `chain`, first and last of each gap."""
        return [(end + 1, start - 1) for (_, end), (start, _) in pairwise(self.ranges(chain))]

    def covers(self, chain: str, first: int, last: int) -> bool:
        """Whether all entries from `first` to `last` are there; so it is of none at all."""
        return last < first or any(a <= first and last <= b for a, b in self.ranges(chain))

    def looks(self, chain: str) -> list[Look]:
        """When its entries were seen, in their order, and in that of time."""
        return steady({look for part, _ in self._pieces.get(chain, ()) for look in part.looks})

    def size_bytes(self, chain: str, first: int, last: int) -> int:
        """The bytes of the entries from `first` to `last`. Order: only if it `covers` them."""
        return sum(sum(lengths) for _, lengths in self._chosen(chain, first, last))

    def lengths(self, chain: str, first: int, last: int) -> list[int]:
        """The bytes of each entry from `first` to `last`. Order: as `size_bytes`."""
        return [n for _, lengths in self._chosen(chain, first, last) for n in lengths]

    def _chosen(
        self, chain: str, first: int, last: int
    ) -> Iterable[tuple[tuple[_Piece, int, int], tuple[int, ...]]]:
        """The pieces that together hold each entry once, with the entries taken of each."""
        wanted = first
        for piece in self._pieces.get(chain, ()):
            part = piece.part
            if wanted > last or part.last < wanted:
                continue
            if part.first > wanted:
                return
            end = min(last, part.last)
            lengths = part.lengths[wanted - part.first : end + 1 - part.first]
            yield (piece, wanted, end), lengths
            wanted = end + 1

    async def entries(self, chain: str, first: int, last: int) -> AsyncIterator[WalEntry]:
        """The entries from `first` to `last`, in order. Limits: one chunk is held.

        Raises: Corrupt, if one is missing or is not what was written; and what the store does.
        """
        wanted = first
        for (piece, start, end), _ in self._chosen(chain, first, last):
            found = (await read_chunk(self._store, piece.chunk))[chain]
            by_index = {entry.index: entry for entry in found}
            for index in range(start, end + 1):
                yield by_index[index]
            wanted = end + 1
        if wanted <= last:
            raise Corrupt(
                f"entries {wanted}..{last} of chain {chain} are not in the archive", _HINT
            )
