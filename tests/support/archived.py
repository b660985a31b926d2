"""Archives in a store for tests: chains with given entries, written as agents write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cbor2
import msgspec

from cleancut.core.archive.chunk import compress_body
from cleancut.core.archive.records import Chain, ChunkPart, Look, Mark, MarkEnd, MarkRound
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.ports.store import Store
from cleancut.repository.archive.writer import ChunkStream, put_chain, put_mark


def entry(kind: str, body: Any) -> bytes:
    """An entry as Qdrant writes it."""
    return cbor2.dumps({kind: body})


def upsert(*ids: int) -> bytes:
    points = [{"id": one, "vector": [0.0, 1.0], "payload": None} for one in ids]
    return entry("upsert_points", {"points": points})


def delete_by(key: str, value: str) -> bytes:
    condition = {"must": [{"key": key, "match": {"value": value}}]}
    return entry("delete_points_by_filter", condition)


def chain_of(id: str, **other: Any) -> Chain:
    """A chain of shard 0 of `docs`; `other`: fields that are to be otherwise."""
    chain = Chain(
        id=id,
        cluster="prod",
        agent=AgentName("agent-1"),
        peer=PeerId(1),
        collection="docs",
        collection_uuid="u-1",
        shard=ShardId(0),
        log="1:2",
        first=0,
        created_at_ms=0,
    )
    return msgspec.structs.replace(chain, **other)


class Archived:
    """Chains of one collection, a shard each, in one stream. Shape: entries from 0 on."""

    def __init__(
        self, store: Store, paths: Paths, collection: str = "docs", *, began_ms: int
    ) -> None:
        self._store, self._paths, self._collection = store, paths, collection
        self._stream = ChunkStream(store, paths, "stream-1")
        self._began_ms = began_ms
        self._next: dict[int, int] = {}
        self._marks = 0

    def chain(self, shard: int) -> str:
        return f"chain-{shard}"

    async def begin(self, shard: int, first: int = 0) -> None:
        self._next[shard] = first
        chain = chain_of(
            self.chain(shard),
            agent=AgentName(f"agent-{shard}"),
            collection=self._collection,
            shard=ShardId(shard),
            first=first,
            created_at_ms=self._began_ms,
        )
        await put_chain(self._store, self._paths, chain)

    async def add(self, at_ms: int, entries: Mapping[int, Sequence[bytes]]) -> str:
        """A chunk that was made at a time, with one look at each shard; its path."""
        parts, raw = list[ChunkPart](), b""
        for shard, given in sorted(entries.items()):
            first, raw = self._next[shard], raw + b"".join(given)
            self._next[shard] = first + len(given)
            parts.append(
                ChunkPart(
                    chain=self.chain(shard),
                    collection=self._collection,
                    shard=ShardId(shard),
                    first=first,
                    last=first + len(given) - 1,
                    lengths=tuple(map(len, given)),
                    looks=(Look(at_ms=at_ms, last=first + len(given) - 1),),
                )
            )
        self._stream.make(compress_body(raw), parts, at_ms)
        head, _ = await self._stream.put()
        return self._paths.archive_chunk(head.stream, head.number, head.made_at_ms)

    async def mark(self, at_ms: int, name: str = "") -> None:
        """A standstill of all shards as they are."""
        ends = tuple(
            MarkEnd(
                collection=self._collection,
                shard=ShardId(shard),
                peer=PeerId(1),
                chain=self.chain(shard),
                last=after - 1,
            )
            for shard, after in sorted(self._next.items())
        )
        self._marks += 1
        mark = Mark(
            name=name,
            at_ms=at_ms,
            before=MarkRound(number=1, ends=ends),
            after=MarkRound(number=2, ends=ends),
        )
        await put_mark(self._store, self._paths, mark, f"nonce{self._marks}")
