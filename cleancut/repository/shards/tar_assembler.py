"""Gives back the tar that a recipe describes; `recipe_reader` reads recipes and pages.

Every byte given back was checked against the digest that names it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import zstandard
from blake3 import blake3

from cleancut.core.format.page import (
    BLOCK_BYTES,
    PACKED_KINDS,
    ZSTD_KINDS,
    Block,
    BlockKind,
    blocks_of,
)
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_cache import READS, PackCache, TarPacks
from cleancut.repository.shards.recipe_reader import load_page, load_recipe
from cleancut.runtime.concurrency import run_all

WINDOW_BYTES = 4 * 1024 * 1024
FIRST_BYTES = 256 * 1024
"""The first window is small, and each next one twice as large: the reader starts at once."""
WINDOWS = 4
GAP_BYTES = 128 * 1024
SMALL_BYTES = 32 * 1024
VIEW_BYTES = 1024 * 1024
"""A smaller range is copied, so that it does not keep the whole pack that it was cut from."""
_Chunks = list[bytes | memoryview]
_threads = threading.local()
_ADVICE = "restore another backup, which may be complete"


class _Part(NamedTuple):
    """One block to give back, and where it stands in the tar."""

    block: Block
    raw_bytes: int
    member: str
    number: int

    def __str__(self) -> str:
        return f"block {self.number} of {self.member or 'the end of the archive'}"


@dataclass(slots=True)
class _Window:
    """Consecutive bytes of the tar: verbatim ones, and blocks to be fetched."""

    parts: list[bytes | _Part] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, part: bytes | _Part) -> None:
        self.parts.append(part)
        self.size_bytes += part.raw_bytes if isinstance(part, _Part) else len(part)


class _Span(NamedTuple):
    """A range of a pack that holds `parts`, close to each other."""

    pack: str
    start: int
    end: int
    parts: list[tuple[int, _Part]]


async def read_tar(
    store: Store, paths: Paths, recipe_digest: str, *, cache: PackCache | None = None
) -> AsyncGenerator[bytes | memoryview, None]:
    """The tar, byte for byte as it was captured, in chunks of a block, at most of 4 MiB.

    Order: close the iterator (`contextlib.aclosing`) when leaving early.
    Limits: four windows, at most of 4 MiB, are made ahead, from 8 parts of packs at a time.
        Tars that are read side by side should share a `cache`, which is of this store.
    Raises: Corrupt, naming pack, member and block, of what is wrong or missing; nothing wrong is
        given back before.
    """
    with _needed(f"recipe {recipe_digest}"):
        recipe = await load_recipe(store, paths, recipe_digest)
    ahead: deque[asyncio.Task[_Chunks | CleancutError]] = deque()
    with (cache or PackCache(store)).open(paths, recipe.packs) as packs:
        group = asyncio.TaskGroup()
        await group.__aenter__()  # no `async with`: it would wrap our own errors in a group
        try:
            async with aclosing(_windows(store, paths, recipe)) as windows:
                async for window in windows:
                    ahead.append(group.create_task(_fill(packs, paths, window)))
                    if len(ahead) == WINDOWS:
                        for chunk in _unwrap(await ahead.popleft()):
                            yield chunk
            while ahead:
                for chunk in _unwrap(await ahead.popleft()):
                    yield chunk
        finally:
            for task in ahead:
                task.cancel()
            await group.__aexit__(None, None, None)


@contextmanager
def _needed(what: str) -> Iterator[None]:
    """A group names it, so that its absence is damage."""
    try:
        yield
    except NotFound as error:
        raise Corrupt(f"{what} is missing", _ADVICE) from error


def _unwrap(result: _Chunks | CleancutError) -> _Chunks:
    """Errors travel as results: a failing task would cancel the consumer of the iterator."""
    if isinstance(result, CleancutError):
        raise result
    return result


async def _windows(store: Store, paths: Paths, recipe: Recipe) -> AsyncGenerator[_Window, None]:
    """The whole tar, cut into windows in order."""
    pages = _PageCache(store, paths, recipe)
    window, limit = _Window(), FIRST_BYTES
    async with aclosing(_parts(pages, recipe)) as parts:
        async for part in parts:
            if window.size_bytes >= limit:
                yield window
                window, limit = _Window(), min(2 * limit, WINDOW_BYTES)
            window.add(part)
    yield window


async def _parts(pages: _PageCache, recipe: Recipe) -> AsyncGenerator[bytes | _Part, None]:
    for member in recipe.members:
        yield member.header
        for index in range(blocks_of(member.stored_bytes)):
            raw_bytes = min(BLOCK_BYTES, member.stored_bytes - index * BLOCK_BYTES)
            yield _Part(await pages.next(), raw_bytes, member.path, index)
        yield member.padding or bytes(member.padding_bytes())


class _PageCache:
    """Walks over all block entries of a recipe, holding one page."""

    def __init__(self, store: Store, paths: Paths, recipe: Recipe) -> None:
        self._store = store
        self._paths = paths
        self._refs = iter(recipe.pages)
        self._blocks: Iterator[Block] = iter(())

    async def next(self) -> Block:
        block = next(self._blocks, None)
        while block is None:
            ref = next(self._refs)
            with _needed(f"page {ref.digest}"):
                page = await load_page(self._store, self._paths, ref)
            self._blocks = (page.block(slot) for slot in range(len(page)))
            block = next(self._blocks, None)
        return block


async def _fill(packs: TarPacks, paths: Paths, window: _Window) -> _Chunks | CleancutError:
    """The bytes of a window."""
    loop = asyncio.get_running_loop()
    spans = _spans(window.parts)
    try:
        found = await run_all([partial(_fetch, packs, paths, span) for span in spans], READS)
        return await loop.run_in_executor(None, _unpack, window, spans, found)
    except CleancutError as error:
        return error


def _spans(parts: Sequence[bytes | _Part]) -> list[_Span]:
    """The ranges to fetch: parts of one pack that lie close together share one."""
    wanted = sorted(
        (part.block.pack, part.block.offset, at, part)
        for at, part in enumerate(parts)
        if isinstance(part, _Part) and part.block.kind in PACKED_KINDS
    )
    spans: list[_Span] = []
    for pack, offset, at, part in wanted:
        end = offset + part.block.length
        last = spans[-1] if spans else None
        if last and last.pack == pack and offset <= last.end + GAP_BYTES:
            last.parts.append((at, part))
            spans[-1] = last._replace(end=max(last.end, end))
        else:
            spans.append(_Span(pack, offset, end, [(at, part)]))
    return spans


async def _fetch(packs: TarPacks, paths: Paths, span: _Span) -> memoryview:
    first = span.parts[0][1]
    try:
        data = await packs.read(paths.pack(span.pack), span.start, span.end)
    except NotFound as error:
        raise Corrupt(f"pack {span.pack} is missing; {first} is in it", _ADVICE) from error
    if len(data) != span.end - span.start:
        raise Corrupt(f"pack {span.pack} is too short for {first}", _ADVICE)
    return memoryview(data if len(data) >= VIEW_BYTES else bytes(data))


def _unpack(window: _Window, spans: Sequence[_Span], found: Sequence[memoryview]) -> _Chunks:
    """The whole window, from what was `found` of each span."""
    chunks: _Chunks = [part if isinstance(part, bytes) else b"" for part in window.parts]
    for span, data in zip(spans, found, strict=True):
        for at, part in span.parts:
            start = part.block.offset - span.start
            chunks[at] = _check(part, data[start : start + part.block.length])
    for at, other in enumerate(window.parts):
        if isinstance(other, _Part) and other.block.kind not in PACKED_KINDS:
            chunks[at] = _check(other, other.block.literal)
    return list(_merged(chunks))


def _merged(chunks: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes without small pieces; large ones are not copied again."""
    small: _Chunks = []
    for chunk in chunks:
        if len(chunk) < SMALL_BYTES:
            small.append(chunk)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield chunk
    if small:
        yield b"".join(small)


def _check(part: _Part, stored: bytes | memoryview) -> bytes | memoryview:
    """The block's bytes. Raises: Corrupt, unless they are what the digest says."""
    block = part.block
    if block.kind is BlockKind.ZERO:
        return bytes(part.raw_bytes)
    where = f"{part} in " + (f"pack {block.pack}" if block.pack else "its page")
    raw = stored
    if block.kind in ZSTD_KINDS:
        try:
            if zstandard.frame_content_size(stored) != part.raw_bytes:
                raise Corrupt(f"{where} is damaged: wrong length", _ADVICE)
            raw = _decompressor().decompress(stored)
        except zstandard.ZstdError as error:
            raise Corrupt(f"{where} is damaged: {error}", _ADVICE) from error
    if len(raw) != part.raw_bytes or blake3(raw).digest() != block.digest:
        raise Corrupt(f"{where} is damaged: wrong digest", _ADVICE)
    return raw


def is_intact(block: Block, stored: bytes | memoryview, raw_bytes: int) -> bool:
    """Whether `stored` is what the block's digest says."""
    try:
        _check(_Part(block, raw_bytes, "", 0), stored)
    except Corrupt:
        return False
    return True


def _decompressor() -> zstandard.ZstdDecompressor:
    """One for each thread: they cannot be shared."""
    found: zstandard.ZstdDecompressor | None = getattr(_threads, "decompressor", None)
    if found is None:
        found = _threads.decompressor = zstandard.ZstdDecompressor()
    return found
