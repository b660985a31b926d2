"""Tar of a whole collection, as Qdrant's own snapshot of it: made of the tars of its shards."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import aclosing

from cleancut.core.capture.member_header import UNIT, MemberFacts, member_header, renamed
from cleancut.core.format.collection_snapshot import snapshot_documents
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.format.recipe import END_BYTES, TarMember
from cleancut.ports.store import Store
from cleancut.repository.shards.captured_tar import read_captured
from cleancut.repository.shards.recipe_reader import load_recipe

Piece = bytes | memoryview


async def collection_tar(
    store: Store,
    paths: Paths,
    manifest: Manifest,
    collection: str,
    *,
    only: Collection[int] | None = None,
) -> AsyncGenerator[Piece, None]:
    """A snapshot that holds all shards of `collection`, or those in `only`, for a single peer.

    Order: as `read_captured`; the bytes may not be used before the end. Raises: Corrupt.
    """
    entry = manifest.collection(collection)
    absent = []
    for shard in manifest.shards_of(collection):
        if only is not None and shard.shard_id not in only:
            absent.append(shard.shard_id)
            continue
        recipe = await load_recipe(store, paths, shard.recipe)
        async with (
            aclosing(read_captured(store, paths, shard)) as chunks,
            aclosing(_below(f"{shard.shard_id}/", chunks, recipe.members)) as pieces,
        ):
            async for piece in pieces:
                yield piece
    for path, data in snapshot_documents(entry, absent).items():
        facts = MemberFacts(path, 0o644, 0, 0, 0, len(data))
        yield member_header(facts) + data + bytes(-len(data) % UNIT)
    yield bytes(END_BYTES)


async def _below(
    folder: str, chunks: AsyncIterator[Piece], members: Sequence[TarMember]
) -> AsyncGenerator[Piece, None]:
    """The members of a tar in `folder`, without the end of the tar."""
    spans = _spans(folder, members)
    left, new = next(spans)
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            while not left:
                if new:
                    yield new
                left, new = next(spans)
            piece, rest = rest[:left], rest[left:]
            left -= len(piece)
            if new is None:
                yield piece


def _spans(folder: str, members: Sequence[TarMember]) -> Iterator[tuple[int, bytes | None]]:
    """The stretches of a tar: their lengths, and what replaces them; None: they stay. The last one,
    which is left out, takes the end of the tar."""
    for one in members:
        if one.path:
            yield len(one.header), renamed(one.header, folder + one.path)
            yield one.stored_bytes + one.padding_bytes(), None
    yield sys.maxsize, b""
