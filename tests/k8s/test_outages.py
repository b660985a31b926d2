"""What ends agents, pods and roll-outs: Qdrant stays in service, and backups wait or go on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.k8s.cluster import kubectl, until
from tests.k8s.configuration import NODE
from tests.k8s.world import World

ENDED = ("COMMITTED", "ABORTED", "FAILED", "CANCELED")
Change = Callable[[dict[str, Any]], None]
Harm = Callable[[World, str], None]


def bad_flag(agent: dict[str, Any]) -> None:
    """What an older image does not know, in an agent that is not told to stay."""
    agent["args"] = ["--nonsense", *(one for one in agent["args"] if one != "--stay")]


def bad_image(agent: dict[str, Any]) -> None:
    agent["image"] = "localhost/cleancut-agent:9.9.9"


def little_memory(agent: dict[str, Any]) -> None:
    """Less than the program needs to start."""
    agent["resources"] = {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}


def changed(world: World, change: Change) -> dict[str, Any]:
    values = copy.deepcopy(world.desk.read("agent-values.yaml"))
    change(values["sidecarContainers"][0])
    return values


def fails(world: World, pod: str) -> bool:
    """True once the kubelet has given up on the pod's agent more than once."""
    found = json.loads(world.kubectl("get", "pod", pod, "-o", "json"))
    for one in found["status"].get("containerStatuses") or ():
        if one["name"] == "cleancut-agent":
            waiting = one["state"].get("waiting") or {}
            pulls = waiting.get("reason") in {"ErrImagePull", "ImagePullBackOff"}
            return bool(pulls or one["restartCount"] >= 2)
    return False


@pytest.mark.parametrize("change", [bad_flag, bad_image, little_memory])
def test_a_bad_agent_takes_one_pod_out_of_service_at_most(installed: World, change: Change) -> None:
    """The roll-out stops at the first pod, and good values undo it."""
    installed.whole()
    good = installed.desk.read("agent-values.yaml")
    seen = [installed.endpoints()]

    def failed() -> bool:
        seen.append(installed.endpoints())
        return any(fails(installed, f"qdrant-{number}") for number in range(3))

    installed.upgrade_qdrant(changed(installed, change))
    try:
        until(failed, "an agent fails", 400)
        assert not fails(installed, "qdrant-0")
        assert not fails(installed, "qdrant-1")
    finally:
        installed.upgrade_qdrant(good)
    assert min(seen) >= 2
    installed.rolled_out()
    installed.whole()


@pytest.mark.parametrize(("argument", "works"), [("--nonsense", True), ("--spill-max=much", False)])
def test_a_wrong_argument_of_an_agent_that_stays(
    installed: World, argument: str, works: bool
) -> None:
    """An unknown flag is left out with a warning, a value that cannot be used keeps the agent from
    working: the roll-out goes through, one pod at a time."""
    installed.whole()
    good = installed.desk.read("agent-values.yaml")
    seen: list[int] = []

    def rolled() -> bool:
        seen.append(installed.endpoints())
        status = json.loads(installed.kubectl("get", "statefulset", "qdrant", "-o", "json"))
        one = status["status"]
        every = one.get("updatedReplicas") == 3
        return every and bool(one["currentRevision"] == one["updateRevision"])

    installed.upgrade_qdrant(changed(installed, lambda agent: agent["args"].append(argument)))
    try:
        until(rolled, "the roll-out is over", 500)
        assert min(seen) >= 2
        if works:
            installed.back_up()
        else:
            until(lambda: installed.endpoints() == 3, "Qdrant is in service")
            assert installed.status()["agents"] == []
            assert installed.ask("doctor")[0] != 0
    finally:
        installed.upgrade_qdrant(good)
    installed.rolled_out()
    installed.whole()


def state_of_agent(world: World, pod: str) -> dict[str, Any]:
    """Of its container, as the kubelet tells it."""
    found = json.loads(world.kubectl("get", "pod", pod, "-o", "json"))
    every = {one["name"]: one for one in found["status"]["containerStatuses"]}
    return dict(every["cleancut-agent"])


def in_agent(world: World, pod: str, code: str) -> None:
    """Runs Python beside the agent, however it ends."""
    where = ("exec", pod, "-c", "cleancut-agent", "--", "python", "-c", code)
    with suppress(RuntimeError):
        world.kubectl(*where)


def deleted(world: World, pod: str) -> None:
    world.kubectl("delete", "pod", pod, "--wait=false")


def out_of_memory(world: World, pod: str) -> None:
    """Processes that are smaller than the agent use up its limit: the kernel kills the agent, and
    Qdrant beside it lives."""
    held = "held = b'x' * (40 << 20)\ntime.sleep(60)"
    in_agent(world, pod, f"import os, time\nfor _ in range(4): os.fork()\n{held}")

    def killed() -> bool:
        last = state_of_agent(world, pod)["lastState"].get("terminated") or {}
        return bool(last.get("reason") == "OOMKilled")

    until(killed, "the agent is killed")
    found = json.loads(world.kubectl("get", "pod", pod, "-o", "json"))["status"]
    restarts = {one["name"]: one["restartCount"] for one in found["containerStatuses"]}
    assert restarts["qdrant"] == 0


def evicted(world: World, pod: str) -> None:
    """Somebody fills the volume for spilling, which agents do to half of it at most: the node
    evicts the pod, and it starts again with an empty one."""
    uid = world.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
    in_agent(world, pod, "open('/var/lib/cleancut/full', 'wb').write(bytes(96 << 20))")

    def is_another() -> bool:
        return world.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}") != uid

    until(is_another, "the pod is evicted")
    which = "--field-selector=reason=Evicted"
    assert "cleancut-spill" in world.kubectl("get", "events", which, "-o", "json")


@pytest.mark.parametrize("harm", [deleted, out_of_memory, evicted])
def test_an_agent_is_lost_in_an_upload(installed: World, harm: Harm) -> None:
    """The epoch is given up, the agent waited for, and the next attempt is committed."""
    installed.whole()
    installed.fill("many", shards=6, points=20_000)  # 5 MB: half a minute at this rate
    installed.cleancut("cluster", "settings", "--upload-rate", "64KiB")
    try:
        create = ("-o", "name", "backup", "create", "--full", "--no-wait")
        number = installed.cleancut(*create).strip()
        assert installed.state_becomes(number, "UPLOADING", *ENDED) == "UPLOADING"
        harm(installed, "qdrant-1")
    finally:
        installed.cleancut("cluster", "settings", "--upload-rate", "0")
    assert installed.state_becomes(number, *ENDED, timeout_s=400) == "COMMITTED"
    installed.drop("many")
    installed.whole()


def test_a_drained_pod_is_waited_for(installed: World) -> None:
    """Its volume is on the drained node, so the pod is pending until the node takes pods again."""
    installed.whole()
    kubectl("cordon", NODE)
    try:
        one = "--pod-selector=statefulset.kubernetes.io/pod-name=qdrant-1"
        kubectl("drain", NODE, one, "--delete-emptydir-data", "--timeout=120s", timeout_s=150)
        number = installed.cleancut("-o", "name", "backup", "create", "--no-wait").strip()

        def an_attempt_ended() -> bool:
            return bool(installed.backup(number)["attempt_history"])

        until(an_attempt_ended, "an attempt finds the agent missing")
        assert installed.backup(number)["state"] not in ENDED
    finally:
        kubectl("uncordon", NODE)
    assert installed.state_becomes(number, *ENDED, timeout_s=400) == "COMMITTED"
    installed.whole()


def test_a_rolling_restart_during_a_backup(installed: World) -> None:
    installed.whole()
    installed.kubectl("rollout", "restart", "statefulset/qdrant")
    number = installed.cleancut("-o", "name", "backup", "create", "--no-wait").strip()
    assert installed.state_becomes(number, *ENDED, timeout_s=500) == "COMMITTED"
    installed.rolled_out()
    installed.whole()
