"""What peers spell differently, and which names they can stream."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from cleancut.core.cluster.payload_indexes import schema_digest
from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.core.primitives.ids import check_streamable
from cleancut_devcluster.launch.qdrant import wait_until
from tests.contract.qdrant.world import SIZE, World, read_stream


@pytest.mark.parametrize("stopwords", ["english", {"languages": [], "custom": []}])
@pytest.mark.adversity("peers that spell one index differently")
def test_one_index_has_two_spellings(world: World, stopwords: object) -> None:
    """The peer with the shard repeats the client, the others what came over gRPC: both mean one."""

    async def check() -> None:
        name = await world.create(shards=1)
        index = {"type": "text", "tokenizer": "word", "stopwords": stopwords}
        await world.first.create_index(name, "body", index)
        told: list[Any] = []

        async def both_are_seen() -> bool:
            """Qdrant chooses by answer which replica describes the index."""
            told.extend([(await one.collection(name))["payload_schema"] for one in world.clients])
            spelled = [entry["body"]["params"]["stopwords"] for entry in told if "body" in entry]
            return stopwords in spelled and any(other != stopwords for other in spelled)

        await wait_until(both_are_seen, 30, "both spellings")
        assert len({schema_digest(entry) for entry in told if "body" in entry}) == 1

    world.run(check())


@pytest.mark.parametrize(
    "name", ["{x}", "tab\there", "a" * 206, "語" * 68, "a" * 207, "a\nb", "a\x7fb", "é" * 104]
)
@pytest.mark.adversity("names at the limits of streams")
def test_which_names_can_be_streamed(world: World, name: str) -> None:
    """`check_streamable` says before what the stream would."""

    async def check() -> None:
        path = f"/collections/{quote(name, safe='')}"
        body = {"vectors": {"size": SIZE, "distance": "Cosine"}, "shard_number": 1}
        await world.post(0, path, body, "PUT")
        await world.settled(name, 1)
        ((peer, *_),) = (await world.hosts(name)).values()
        try:
            check_streamable(name)
        except Invalid:
            with pytest.raises(CleancutError, match="500"):
                await read_stream(peer, name, 0)
        else:
            assert await read_stream(peer, name, 0)
        await world.first.delete_collection(name)

    world.run(check())
