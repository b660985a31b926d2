"""Fences of real backups: writers are held off, every agent sees it, and everything comes back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cleancut.core.format.manifest import AgentDocument
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.fence import fenced_name, tag_of
from cleancut.etcd.client import open_etcd
from cleancut.fencing.aliases import rename
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut_devcluster.demo.chains import read_chains
from cleancut_devcluster.demo.data import ALIAS, COLLECTION, Data
from cleancut_devcluster.demo.phase_times import read_phases
from cleancut_devcluster.demo.writers import Chain, find_holes, wait_written, writing
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

WRITERS = 4
LIFTED_S = 15.0
FOR_ALL_CUTS, FOR_ROUNDS = "standstill-bound = 0", "standstill-bound = 0.001"
"""Logs are not followed, as where agents do not see Qdrant's storage; or two rounds find nothing,
so that the next ones are fenced."""
TRIES = 8
"""Two rounds may find a moment without a write: then no fence is needed."""
BY_ALIAS = ("--fence", f"alias={ALIAS}", "--fence-budget", "30s")


@pytest.fixture(scope="module")
def world(launch_module: Launch) -> World:
    """Three peers with small data, for most tests: a fence is held for all cuts."""
    one = launch_module(coordinators=0)
    _start_coordinator(one, FOR_ALL_CUTS)
    one.fill()
    return one


def _start_coordinator(world: World, *settings: str) -> None:
    """One with these settings, and what it waits for."""
    config = world.setup.base_dir / "coordinator.toml"
    config.write_text("\n".join(settings) + "\n")
    world.run(world.setup.start_coordinator(config=config))
    world.run(world.setup.wait_agents())


def aliases_everywhere(world: World) -> list[dict[str, str]]:
    async def body() -> list[dict[str, str]]:
        told = []
        for peer in world.setup.peers:
            async with peer.client() as qdrant:
                told.append(await qdrant.aliases())
        return told

    return world.run(body())


def wait_aliases(world: World, expected: dict[str, str]) -> None:
    """Returns once every peer shows exactly these, within a bound."""

    async def shown(peer: PeerProcess) -> bool | None:
        async with peer.client() as qdrant:
            return True if await qdrant.aliases() == expected else None

    for peer in world.setup.peers:
        world.run(wait_for(partial(shown, peer), f"{expected}", LIFTED_S, 0.1))


def fences_in_etcd(world: World) -> list[str]:
    async def body() -> list[str]:
        async with open_etcd([world.setup.etcd_endpoint], clock=SystemClock()) as etcd:
            keys = Keys(ClusterName(world.setup.cluster))
            return [item.key for item in (await etcd.list(keys.fences)).items]

    return world.run(body())


@pytest.mark.parametrize("held", [FOR_ALL_CUTS, FOR_ROUNDS])
def test_a_fenced_backup_has_no_holes(held: str, launch: Launch, world: World) -> None:
    """Under writers by the alias: proven, seen by every agent, nothing missing from a chain, and
    by the old name everything goes on. With logs, shards are cut before the fence is raised."""
    if held == FOR_ROUNDS:
        world = launch(coordinators=0)
        _start_coordinator(world, held)
        world.fill()

    async def body() -> tuple[dict[str, Any], list[Chain], dict[int, set[int]]]:
        url = world.setup.peers[0].url
        async with (
            Data(url, world.shape, collection=ALIAS) as data,
            writing(data, WRITERS, patient=True) as chains,
        ):
            await wait_written(chains, 3)
            for _ in range(TRIES):
                answer = await world.setup.cleancut("backup", "create", *BY_ALIAS)
                made: dict[str, Any] = answer.value("backup")
                if made["evidence"]["fenced"]:
                    break
            await wait_written(chains, 1 + max(len(chain.acknowledged_s) for chain in chains))
        return made, chains, await read_chains(world.setup, made["id"], world.shape.shards)

    made, chains, found = world.run(body())
    evidence = made["evidence"]
    assert (evidence["consistency"], evidence["fenced"]) == ("point-in-time", True)
    assert evidence["fence"]["aliases"] == [ALIAS]
    assert len(evidence["fence"]["seen_by"]) == len(world.setup.agents)
    assert evidence["fence"]["held_ms"] > 0
    rolled = [shard for shard in evidence["shards"] if shard.get("rolled_to") is not None]
    assert bool(rolled) is (held == FOR_ROUNDS)
    phases = list(read_phases([one.child.log for one in world.setup.coordinators], made["epoch"]))
    assert (phases.index("FENCE") > phases.index("CUT")) is (held == FOR_ROUNDS)
    holes = find_holes(chains, found, None)
    assert holes.points > 0
    assert holes.holes == 0
    assert aliases_everywhere(world) == [{ALIAS: COLLECTION}] * 3
    assert fences_in_etcd(world) == []
    assert world.offline("backup", "show", made["id"]).value("backup")["evidence"] == evidence
    verdict = world.offline("backup", "verify", made["id"]).value("verify")
    assert verdict["problems"] == verdict["missing"] == []
    assert verdict["evidence"] == evidence


def test_what_cannot_be_fenced_is_refused(world: World) -> None:
    """Before anything is touched, with a reason."""
    refused(
        world.cleancut("backup", "create", "--fence", "alias=nobody"), 4, "alias does not exist"
    )
    refused(world.cleancut("backup", "create", "--fence", "hook"), 4, "no hook is configured")
    words = world.cleancut("backup", "create", "--fence", "maybe")
    assert words.exit_code == 2
    assert aliases_everywhere(world) == [{ALIAS: COLLECTION}] * 3


def test_a_budget_ends_the_fence(world: World) -> None:
    """What can't be cut within it is aborted, and by the old name everything goes on."""
    answer = world.cleancut(
        "backup", "create", *BY_ALIAS[:2], "--fence-budget", "0.01s", "--attempts", "1"
    )
    refused(answer, 1, "budget of 0.01 s")
    wait_aliases(world, {ALIAS: COLLECTION})
    assert world.back_up(*BY_ALIAS)["evidence"]["fenced"]


def test_what_nobody_needs_is_lifted(world: World) -> None:
    """A fenced alias of an epoch that is over is renamed back by the agents; one whose name was
    taken meanwhile is left alone, and told."""
    ours = tag_of(world.ok("status", "status")["identity"]["cluster_id"])
    stray = fenced_name(ALIAS, Epoch(99999), ours)
    taken = fenced_name(COLLECTION, Epoch(99998), ours)

    async def change(*actions: dict[str, Any]) -> None:
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.change_aliases(actions)

    create = {"create_alias": {"alias_name": taken, "collection_name": COLLECTION}}
    world.run(change(rename(ALIAS, stray), create))
    wait_aliases(world, {ALIAS: COLLECTION, taken: COLLECTION})
    warnings = world.ok("status", "status")["warnings"]
    assert [text for text in warnings if taken in text], warnings
    world.run(change({"delete_alias": {"alias_name": taken}}))


def test_replicas_that_are_not_cut_are_counted(launch: Launch) -> None:
    """By the agents beside them; equal ones are no news. An agent that is missing is."""
    world = launch(coordinators=1)
    world.shape = replace(world.shape, replicas=2)
    world.fill()
    made = world.back_up()
    counted = [
        one
        for path in world.store.rglob(f"votes/{made['epoch']:012d}/*/*.json")
        for one in decode(AgentDocument, path.read_bytes(), str(path)).replicas
    ]
    assert len(counted) == world.shape.shards
    assert sum(one.count for one in counted) == world.shape.points
    assert made["warnings"] == []
    world.run(world.setup.agents[0].stop())
    told = world.back_up()["warnings"]
    assert len(told) == 1
    assert "took no part" in told[0]


class Writer:
    """A writer that can be paused. `answers`: the status of each kind of call."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answers = {"pause": 204, "resume": 204}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/fence", self._called)
        return app

    async def _called(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.calls.append({**body, "token": request.headers.get("authorization")})
        return web.Response(status=self.answers[body["action"]])


def test_hooks_pause_and_resume(launch: Launch, tmp_path: Path) -> None:
    """As the coordinator is configured; a writer that won't pause ends the attempt, and is told to
    resume all the same, until it says yes."""
    world, writer = launch(coordinators=0), Writer()
    token, config = tmp_path / "token", tmp_path / "coordinator.toml"
    token.write_text("s3cret\n")

    async def with_hook(*more: str) -> Any:
        async with serve(writer.app(), "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port}/fence"
            if not world.setup.coordinators:
                config.write_text(
                    f'{FOR_ALL_CUTS}\n[[fence]]\ncollection = "{COLLECTION}"\npause = "{url}"\n'
                    f'resume = "{url}"\ntoken-file = "{token}"\n'
                )
                await world.setup.start_coordinator(config=config)
                await world.setup.wait_agents()
            made = await world.setup.cleancut("backup", "create", "--attempts", "1", *more)
            writer.answers |= {"pause": 503, "resume": 503}
            failed = await world.setup.cleancut("backup", "create", "--attempts", "1", *more)
            writer.answers["resume"] = 204
            count = len(writer.calls)

            async def resumed() -> bool | None:
                return "resume" in {call["action"] for call in writer.calls[count:]} or None

            await wait_for(resumed, "a resume", LIFTED_S, 0.05)
            open_one = await world.setup.cleancut("backup", "create", "--fence", "none")
            return made, failed, open_one

    world.fill()
    made, failed, open_one = world.run(with_hook())
    evidence = made.value("backup")["evidence"]
    assert (evidence["fenced"], evidence["fence"]["hooked"]) == (True, [COLLECTION])
    assert [call["action"] for call in writer.calls[:3]] == ["pause", "resume", "pause"]
    assert writer.calls[0]["collections"] == [COLLECTION]
    assert {call["token"] for call in writer.calls} == {"Bearer s3cret"}
    refused(failed, 4, "answered 503 to 'pause'")
    assert open_one.value("backup")["evidence"]["fence"] is None
    assert fences_in_etcd(world) == []
