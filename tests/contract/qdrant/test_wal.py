"""Logs of shards: read from the disk next to a server that writes them."""

from __future__ import annotations

from typing import Any

from cleancut.core.primitives.ids import parse_version
from cleancut.core.wal.kinds import KINDS, SCHEMA_KINDS, UNKNOWN
from cleancut.core.wal.operations import decode_operation
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_agent.wal.shard_tail import ShardTail, read_acknowledged
from cleancut_devcluster.launch.qdrant import PeerProcess, wait_until
from tests.contract.qdrant.world import SIZE, World, points

FILTER = {"filter": {"must": [{"key": "tag", "match": {"value": "a"}}]}}
UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


def tail_of(peer: PeerProcess, name: str, **begin: Any) -> ShardTail:
    return ShardTail.open(LocalWalStorage(peer.storage).open(name, 0), **begin)


def test_every_kind_of_operation_is_read_under_the_number_of_the_server(world: World) -> None:
    """The number in an answer, the one in telemetry, and the index in the log are the same."""

    async def check() -> None:
        name = await world.create(shards=1)
        holder = (await world.first.placement(name)).shards[0].peer_id
        peers = {(await client.cluster()).peer_id: n for n, client in enumerate(world.clients)}
        tail = tail_of(world.peers[peers[holder]], name)
        read = {entry.index: entry for entry in tail.poll()}
        expected: dict[int, tuple[str, int | None]] = {}
        resolved = parse_version(await world.first.version()) >= (1, 19)
        conditional = "upsert_points" if resolved else "upsert_points_conditional"
        for method, path, body, kind, count in _requests(conditional):
            url = f"/collections/{name}{path}{'&' if '?' in path else '?'}wait=true"
            answer = await world.post(peers[holder], url, body, method)
            if kind not in SCHEMA_KINDS:  # consensus writes these a second time
                expected[answer["operation_id"]] = (kind, count)
        read |= {entry.index: entry for entry in tail.poll()}
        assert sorted(read) == list(range(tail.last + 1 if tail.last is not None else 0))
        found = {index: decode_operation(entry.data) for index, entry in read.items()}
        assert UNKNOWN not in {one.kind for one in found.values()}
        for index, (kind, count) in expected.items():
            assert (found[index].kind, found[index].points) == (kind, count), index
        assert {"create_index", "delete_index"} <= {one.kind for one in found.values()}
        assert any(UUID in one.ids for one in found.values())
        assert any(one.clock is not None for one in found.values())
        numbers = await world.numbers(name)
        assert list(numbers.values()) == [tail.last]
        assert {one.kind for one in found.values()} <= KINDS
        tail.close()

    world.run(check())


def _requests(conditional_upsert: str) -> list[tuple[str, str, Any, str, int | None]]:
    """Method, path and body of a request, and the kind and number of points in the log.

    `conditional_upsert`: the kind of an upsert with a condition, which Qdrant applies to the points
    that it finds, and logs so since 1.19.
    """
    some = points(range(6))
    conditional = {"points": some[:1], "update_filter": FILTER["filter"]}
    vector = [0.5] * SIZE
    return [
        ("PUT", "/points", {"points": some}, "upsert_points", 6),
        ("PUT", "/points", {"points": [{"id": UUID, "vector": vector}]}, "upsert_points", 1),
        ("PUT", "/points", conditional, conditional_upsert, 1),
        ("PUT", "/index", {"field_name": "tag", "field_schema": "keyword"}, "create_index", None),
        ("POST", "/points/payload", {"payload": {"k": 1}, "points": [1, 2]}, "set_payload", 2),
        ("PUT", "/points/payload", {"payload": {"k": 2}, "points": [1]}, "overwrite_payload", 1),
        ("POST", "/points/payload/delete", {"keys": ["k"], "points": [1]}, "delete_payload", 1),
        ("POST", "/points/payload/clear", {"points": [3]}, "clear_payload", 1),
        (
            "PUT",
            "/points/vectors",
            {"points": [{"id": 1, "vector": vector}]},
            "update_vectors",
            1,
        ),
        ("POST", "/points/delete", {"points": [4, UUID]}, "delete_points", 2),
        ("DELETE", "/index/tag", None, "delete_index", None),
    ]


def test_the_acknowledged_index_follows_the_flush(world: World) -> None:
    async def check() -> None:
        name = await world.create(shards=1)
        holder = (await world.first.placement(name)).shards[0].peer_id
        peers = {(await client.cluster()).peer_id: n for n, client in enumerate(world.clients)}
        storage = LocalWalStorage(world.peers[peers[holder]].storage)
        directory = storage.open(name, 0)
        await world.upload(name, points(range(20)), batch=1)

        async def acknowledged() -> bool:
            return bool(read_acknowledged(directory))

        await wait_until(acknowledged, 30, "something is acknowledged")
        seen = read_acknowledged(directory) or 0
        (number,) = (await world.numbers(name)).values()
        assert seen <= number
        directory.close()
        assert storage.facts().problem == ""

    world.run(check())
