"""What a peer says about itself and the cluster, and the metadata outside shard tars."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import Denied, Invalid, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import parse_version
from cleancut.qdrant.client import Qdrant
from cleancut_devcluster.launch.qdrant import Kind, launch_peers, wait_until
from tests.contract.qdrant.world import World, points
from tests.support.addresses import dead_address
from tests.support.qdrant_proxy import meddle


def test_every_peer_knows_all_peers_and_itself(world: World) -> None:
    """Ids are distinct, and every peer sees the same set with its own id in it."""

    async def check() -> None:
        infos = [await client.cluster() for client in world.clients]
        assert len({info.peer_id for info in infos}) == len(world.peers)
        assert all(info.enabled and info.peer_id in info.peers for info in infos)
        assert len({frozenset(info.peers.items()) for info in infos}) == 1
        assert infos[0].leader in infos[0].peers
        telemetry = await world.first.telemetry()
        assert telemetry.peer_id == infos[0].peer_id
        assert telemetry.app_version == await world.first.version()

    world.run(check())


def test_several_peers_behind_one_url_are_refused(world: World) -> None:
    """Each answer may be another one's, so that no decision of several steps can rest on them."""

    async def check() -> None:
        for client in world.clients:
            await client.check_one_peer()
        urls = [client.url for client in world.clients]
        async with meddle(*urls) as balancer, Qdrant(balancer) as client:
            with pytest.raises(Refused, match=r"several peers .* load balancer") as refused:
                await client.check_one_peer()
            assert "--qdrant-url" in refused.value.hint

    world.run(check())


def test_placement_is_the_same_at_every_peer(world: World) -> None:
    """Each replica is local at exactly one peer; all list the same replicas."""

    async def check() -> None:
        name = await world.create(shards=4, replicas=2)
        seen = [await client.placement(name) for client in world.clients]
        views = {
            frozenset((one.shard_id, one.peer_id, one.state) for one in placement.shards)
            for placement in seen
        }
        assert len(views) == 1
        assert len(seen[0].shards) == 8
        assert sum(len(placement.local()) for placement in seen) == 8
        for client, placement in zip(world.clients, seen, strict=True):
            telemetry = (await client.telemetry()).collections[name]
            numbered = {shard for shard, one in telemetry.shards.items() if one.op_num is not None}
            assert numbered == {one.shard_id for one in placement.local()}
            assert telemetry.shards[0].replica_states == {
                one.peer_id: one.state for one in placement.shards if one.shard_id == 0
            }

    world.run(check())


def test_configuration_comes_back_as_it_was_given(world: World) -> None:
    """Vectors, quantization, limits and metadata are all in the answer that is backed up."""

    async def check() -> None:
        vectors = {"text": {"size": 8, "distance": "Dot", "on_disk": True}}
        name = await world.create(
            shards=2,
            vectors=vectors,
            sparse_vectors={"words": {"modifier": "idf"}},
            hnsw_config={"m": 8},
            optimizers_config={"indexing_threshold": 500},
            quantization_config={"scalar": {"type": "int8", "always_ram": True}},
            write_consistency_factor=1,
            metadata={"owner": "x"},
        )
        keyword = {"type": "keyword", "is_tenant": True}
        await world.first.create_index(name, "tag", keyword)
        await world.first.create_index(name, "n", "integer")
        await world.first.patch_collection(name, {"params": {"read_fan_out_factor": 2}})

        async def applied() -> bool:
            found = await world.clients[2].collection(name)
            return "read_fan_out_factor" in found["config"]["params"]

        await wait_until(applied, 10, "the PATCH has reached another peer")
        config = (await world.clients[2].collection(name))["config"]
        assert config["params"]["vectors"] == vectors
        assert config["params"]["sparse_vectors"] == {"words": {"modifier": "idf"}}
        assert config["params"]["read_fan_out_factor"] == 2
        assert config["hnsw_config"]["m"] == 8
        assert config["hnsw_config"]["ef_construct"] == 100
        assert config["optimizer_config"]["indexing_threshold"] == 500
        assert config["quantization_config"]["scalar"]["type"] == "int8"
        assert config["metadata"] == {"owner": "x"}
        schema = (await world.clients[2].collection(name))["payload_schema"]
        assert schema["tag"]["data_type"] == "keyword"
        assert schema["tag"]["params"] == keyword
        assert schema["n"]["data_type"] == "integer"

    world.run(check())


def test_a_new_collection_has_a_new_uuid(world: World) -> None:
    """So a deleted and created one is never taken for the old one."""

    async def check() -> None:
        name = await world.create(shards=1)
        before = (await world.first.telemetry()).collections[name].uuid
        assert await world.first.delete_collection(name)
        assert not await world.first.delete_collection(name)
        await world.first.create_collection(name, {"vectors": {"size": 4, "distance": "Dot"}})
        after = (await world.first.telemetry()).collections[name].uuid
        assert before
        assert after
        assert before != after

    world.run(check())


def test_aliases_swap_in_one_step_and_are_checked(world: World) -> None:
    """Delete and create in one call; a bad action keeps those before it; other peers follow."""

    async def check() -> None:
        old, new = await world.create(shards=1), await world.create(shards=1)
        alias = f"{old}-live"
        await world.first.change_aliases([_create(old, alias)])
        await _seen_everywhere(world, alias, old)
        swap = [{"delete_alias": {"alias_name": alias}}, _create(new, alias)]
        await world.first.change_aliases(swap)
        await _seen_everywhere(world, alias, new)
        bad = [{"delete_alias": {"alias_name": alias}}, _create("nowhere", alias)]
        with pytest.raises(NotFound):
            await world.first.change_aliases(bad)
        await _seen_everywhere(world, alias, None)
        with pytest.raises(Refused):
            await world.first.change_aliases([_create(old, new)])

    world.run(check())


def _create(collection: str, alias: str) -> dict[str, object]:
    return {"create_alias": {"collection_name": collection, "alias_name": alias}}


async def _seen_everywhere(world: World, alias: str, target: str | None) -> None:
    async def seen() -> bool:
        return all([(await one.aliases()).get(alias) == target for one in world.clients])

    await wait_until(seen, 10, f"{alias} is {target} everywhere")


def test_a_renamed_alias_keeps_writers_out(world: World) -> None:
    """The fence: by its old name nothing is found, and back again everything is."""

    async def check() -> None:
        name = await world.create(shards=2)
        alias, fenced = f"{name}-w", f"{name}-w@fence-7"
        await world.first.change_aliases([_create(name, alias)])
        await _seen_everywhere(world, alias, name)
        rename = {"old_alias_name": alias, "new_alias_name": fenced}
        await world.first.change_aliases([{"rename_alias": rename}], timeout_s=2)
        await _seen_everywhere(world, fenced, name)
        body = {"points": points([1])}
        for peer in range(len(world.peers)):
            with pytest.raises(AssertionError, match="doesn't exist"):
                await world.post(peer, f"/collections/{alias}/points?wait=true", body, "PUT")
        await world.first.patch_collection(name, {"strict_mode_config": {}})
        back = {"old_alias_name": fenced, "new_alias_name": alias}
        await world.clients[1].change_aliases([{"rename_alias": back}], timeout_s=2)
        await _seen_everywhere(world, alias, name)
        await world.upsert(alias, points(range(5)))
        assert sum(one[0] for one in (await world.counts(name)).values()) == 5

    world.run(check())


def test_deleting_a_collection_deletes_its_aliases(world: World) -> None:
    """And deleting by the alias' name deletes nothing."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.first.change_aliases([_create(name, f"{name}-a")])
        assert not await world.first.delete_collection(f"{name}-a")
        assert name in await world.first.collections()
        await world.first.delete_collection(name)
        assert f"{name}-a" not in await world.first.aliases()

    world.run(check())


def test_names_that_stop_consensus_never_reach_qdrant(world: World) -> None:
    """`.` and `..` would end every peer for good; others are refused in words."""

    async def check() -> None:
        for bad in (".", "..", "", "a/b", "x" * 208):
            with pytest.raises(Invalid):
                await world.first.create_collection(bad, {})
        for bad in (".", ".."):
            with pytest.raises(Invalid):
                await world.first.drain(bad, [0], [], 5)
        good = "docs@7 ä+%#"
        await world.first.create_collection(good, {"vectors": {"size": 4, "distance": "Dot"}})
        assert good in await world.first.collections()
        await world.first.drain(good, [0], [], 5)
        await world.first.delete_collection(good)

    world.run(check())


def test_refusals_have_kinds(world: World) -> None:
    """What exists, what does not, and what is wrong are told apart."""

    async def check() -> None:
        name = await world.create(shards=1)
        with pytest.raises(Refused):
            await world.first.create_collection(name, {"vectors": {"size": 4, "distance": "Dot"}})
        with pytest.raises(NotFound):
            await world.first.collection("nowhere")
        with pytest.raises(NotFound):
            await world.first.placement("nowhere")
        with pytest.raises(Invalid):
            await world.first.create_collection(f"{name}x", {"vectors": {"size": "many"}})
        with dead_address() as dead:
            async with Qdrant(f"http://{dead}") as absent:
                with pytest.raises(Unavailable):
                    await absent.version()

    world.run(check())


def test_cluster_metadata_round_trip(world: World) -> None:
    """Keys of any kind with values of any kind, on every peer."""

    async def check() -> None:
        await world.first.put_cluster_metadata("team/x y", {"a": [1, None, "ä"]})

        async def seen() -> bool:
            value = {"a": [1, None, "ä"]}
            return all(
                [(await one.cluster_metadata()).get("team/x y") == value for one in world.clients]
            )

        await wait_until(seen, 10, "the metadata is everywhere")

    world.run(check())


def test_quotas_are_there_since_1_19(world: World) -> None:
    """They are cluster-wide; a server without them has no such path."""

    async def check() -> None:
        if parse_version(await world.first.version()) < (1, 19):
            assert await world.first.quotas() is None
            with pytest.raises(NotFound):
                await world.first.put_quotas({"enabled": False})
            return
        before, body = await world.first.quotas(), {"enabled": True, "max_disk_usage_percent": 99}
        assert before is not None
        await world.first.put_quotas(body)

        async def seen() -> bool:
            return all([await one.quotas() == body for one in world.clients])

        await wait_until(seen, 10, "the quotas are everywhere")
        await world.first.put_quotas(before)
        assert await world.first.quotas() == before

    world.run(check())


def test_a_single_qdrant_is_peer_zero(kind: Kind, runner: asyncio.Runner, tmp_path: Path) -> None:
    """Without cluster mode there are no peers, no metadata and no uuids; streams work all the same.

    Its replicas carry an id of their own, which stands for nothing else.
    """

    async def check() -> None:
        async with (
            launch_peers(1, tmp_path, kind, standalone=True) as peers,
            peers[0].client() as client,
        ):
            info = await client.cluster()
            assert (info.peer_id, info.peers, info.enabled) == (0, {}, False)
            assert await client.cluster_metadata() == {}
            assert await client.cluster_metadata_value("team") is None
            assert not await client.put_cluster_metadata("team", "a")
            await client.create_collection("one", {"vectors": {"size": 4, "distance": "Dot"}})
            await client.drain("one", [0], [], 5)
            placement = await client.placement("one")
            assert [(one.shard_id, one.state, one.local) for one in placement.shards] == [
                (0, "Active", True)
            ]
            assert placement.peer_id != 0
            telemetry = await client.telemetry()
            assert telemetry.peer_id == 0
            assert telemetry.collections["one"].uuid is None
            assert telemetry.collections["one"].shards[0].op_num == 1
            async with client.stream_shard("one", 0) as chunks:
                assert (await anext(chunks)).startswith(b"segments/")

    runner.run(check())


def test_keys_are_asked_for(kind: Kind, runner: asyncio.Runner, tmp_path: Path) -> None:
    """A wrong key is denied everywhere; a read-only one cannot drain, and says so."""

    async def check() -> None:
        async with launch_peers(
            1, tmp_path, kind, standalone=True, api_key="secret", read_only_api_key="reader"
        ) as peers:
            async with peers[0].client() as owner:
                await owner.create_collection("one", {"vectors": {"size": 4, "distance": "Dot"}})
                await owner.drain("one", [0], [], 5)
            async with Qdrant(peers[0].url, "wrong") as stranger:
                with pytest.raises(Denied):
                    await stranger.collections()
            async with Qdrant(peers[0].url, "reader") as reader:
                assert await reader.collections() == ["one"]
                with pytest.raises(Refused):
                    await reader.drain("one", [0], [], 5)

    runner.run(check())
