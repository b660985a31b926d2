"""Volumes and whole installations that are lost, and other numbers of peers."""

from __future__ import annotations

import json
from typing import Any

from tests.k8s import guide
from tests.k8s.cluster import kubectl, until
from tests.k8s.conftest import install
from tests.k8s.world import POINTS, World


def fixes(world: World) -> list[str]:
    """The safe commands that the doctor prints for errors, each once."""
    found = json.loads(world.ask("-o", "json", "doctor")[1])["findings"]
    every = [fix for one in found if one["severity"] == "error" for fix in one["fixes"]]
    safe = [fix["command"] for fix in every if fix["effect"] == "safe"]
    ours = [one for one in safe if one.startswith("cleancut ") and "doctor" not in one]
    return list(dict.fromkeys(ours))


def peer_of(world: World, pod: str) -> str:
    """The id of the peer in that pod."""
    return str(next(one["peer_id"] for one in world.status()["agents"] if one["name"] == pod))


def lose_volumes(world: World, pod: str) -> None:
    """Its claims are gone with it."""
    claims = [f"pvc/qdrant-{kind}-{pod}" for kind in ("storage", "snapshots")]
    world.kubectl("delete", "--wait=false", *claims)
    world.kubectl("delete", "pod", pod, "--ignore-not-found")


def forget(world: World, peer: str) -> None:
    def forgotten() -> bool:
        world.cleancut("cluster", "forget-peer", peer, "--force", "--confirm", peer, "--yes")
        return True

    until(forgotten, "the lost peer is forgotten", 300)


def mend(world: World) -> None:
    """Each fix of the doctor is typed until nothing is wrong."""
    peers = world.peers()
    until(lambda: world.pods(peers), f"{peers} pods of Qdrant are ready", 400)
    until(lambda: len(world.status()["agents"]) == peers, f"{peers} agents")

    def mended() -> bool:
        for command in fixes(world):
            world.cleancut(*command.split()[1:], "--yes")
        return world.ask("doctor")[0] == 0

    until(mended, "the doctor finds nothing", 400)


def test_a_lost_volume_by_the_words_of_the_doctor(installed: World) -> None:
    """The old id is forgotten, and what it held is restored."""
    installed.whole()
    installed.back_up()
    peer = peer_of(installed, "qdrant-1")
    lose_volumes(installed, "qdrant-1")
    forget(installed, peer)
    mend(installed)
    installed.data_is_whole()


def test_three_peers_become_two(installed: World) -> None:
    """The third is taken away with its volumes, and forgotten: what it alone held is restored."""
    installed.whole()
    installed.back_up()
    peer = peer_of(installed, "qdrant-2")
    installed.upgrade_qdrant({**installed.desk.read("agent-values.yaml"), "replicaCount": 2})
    until(lambda: installed.pods(2), "two peers are left", 400)
    lose_volumes(installed, "qdrant-2")
    forget(installed, peer)
    mend(installed)
    installed.data_is_whole()
    installed.back_up()


def test_only_the_bucket_is_left(installed: World) -> None:
    """A new namespace with two peers: restored as the page says, then grown to four."""
    installed.whole()
    installed.back_up()
    kubectl("delete", "namespace", installed.space, timeout_s=300)
    install(installed, lambda _: None, peers=2, data=False)
    until(lambda: installed.pods(2), "two peers", 400)
    until(lambda: len(installed.status()["agents"]) == 2, "two agents")
    lines = [one.split("-- cleancut ")[-1] for one in guide.commands("Restore", guide.OPERATE)]
    assert {"restore start 17 --yes", "adopt", "backup list"} <= set(lines)
    installed.cleancut("backup", "list")
    installed.cleancut("restore", "start", "latest", "--yes")
    assert installed.ask("backup", "create")[0] != 0
    installed.cleancut("adopt", "--yes")
    installed.data_is_whole()
    installed.back_up()
    grow(installed, 4)
    installed.cleancut("rebalance", "start", "--yes")
    installed.data_is_whole()
    installed.back_up()


def grow(world: World, peers: int) -> None:
    """Qdrant has so many peers, each with an agent."""
    values: dict[str, Any] = {**world.desk.read("agent-values.yaml"), "replicaCount": peers}
    world.upgrade_qdrant(values)
    world.whole()


def test_data_of_two_peers_on_four(installed: World) -> None:
    """The collections are dropped, and restored onto more peers than they came from."""
    installed.whole()
    number = installed.back_up()
    for name in POINTS:
        installed.drop(name)
    installed.cleancut("restore", "start", number, "--yes", "--rebalance")
    installed.data_is_whole()
    installed.whole()
