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


FORMS: dict[str, object] = {
    **{kind: kind for kind in ("keyword", "integer", "float", "geo", "text", "bool", "datetime")},
    "uuid": "uuid",
    "tenant": {"type": "keyword", "is_tenant": True},
    "keyword_on_disk": {"type": "keyword", "on_disk": True},
    "keyword_plain": {"type": "keyword", "is_tenant": False, "on_disk": False},
    "integer_lookup": {"type": "integer", "lookup": True, "range": False},
    "integer_range": {"type": "integer", "lookup": False, "range": True},
    "integer_main": {"type": "integer", "lookup": True, "range": True, "is_principal": True},
    "float_main": {"type": "float", "is_principal": True, "on_disk": True},
    "geo_on_disk": {"type": "geo", "on_disk": True},
    "bool_params": {"type": "bool"},
    "datetime_main": {"type": "datetime", "is_principal": True},
    "uuid_tenant": {"type": "uuid", "is_tenant": True, "on_disk": False},
    "word": {"type": "text", "tokenizer": "word", "lowercase": True},
    "whitespace": {"type": "text", "tokenizer": "whitespace", "lowercase": False},
    "prefix": {"type": "text", "tokenizer": "prefix", "min_token_len": 2, "max_token_len": 9},
    "multilingual": {"type": "text", "tokenizer": "multilingual"},
    "text_on_disk": {"type": "text", "on_disk": True},
    "phrase": {"type": "text", "phrase_matching": True},
    "folding": {"type": "text", "ascii_folding": True},
    "stemmer": {"type": "text", "stemmer": {"type": "snowball", "language": "english"}},
    "one_language": {"type": "text", "stopwords": "english"},
    "languages": {"type": "text", "stopwords": {"languages": ["english", "german"]}},
    "custom": {"type": "text", "stopwords": {"custom": ["the", "a"]}},
    "empty": {"type": "text", "stopwords": {"languages": [], "custom": []}},
}
"""All forms of indexes that Qdrant accepts, one of each kind."""


def test_every_form_of_index_means_one_thing_at_every_peer(world: World) -> None:
    """Whether the peer has the shard or not, and however it spells the parameters."""

    async def check() -> None:
        name = await world.create(shards=1)
        for field, schema in FORMS.items():
            await world.first.create_index(name, field, schema)
        told = [(await one.collection(name))["payload_schema"] for one in world.clients]
        for field in FORMS:
            assert len({schema_digest({field: one[field]}) for one in told}) == 1, field
        other = await world.create(shards=1)
        for field, entry in told[0].items():  # what a restore sends
            await world.first.create_index(other, field, entry.get("params") or entry["data_type"])
        again = [(await one.collection(other))["payload_schema"] for one in world.clients]
        assert {schema_digest(one) for one in (*told, *again)} == {schema_digest(told[0])}

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
