"""One cluster for all scenarios, with what the tutorial installs on it.

K8S_KEEP=1 takes up a cluster that runs already, and leaves it running.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.k8s import cluster, guide, world
from tests.k8s.configuration import SUPERUSER
from tests.k8s.world import World

HERE = Path(__file__).parent
FILES = ("test_smoke", "test_operator", "test_outages", "test_release", "test_total_loss")
ORDER = {name: number for number, name in enumerate(FILES)}
"""The last ones change how many peers there are."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All are scenarios of `make k8s`, in the order of their files, and may take minutes."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.k8s)
            item.add_marker(pytest.mark.timeout(1500))
    items.sort(key=lambda item: ORDER.get(item.path.stem, -1))


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line past pytest's capture."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"k8s: {text}\n")
            sys.stdout.flush()

    return line


@pytest.fixture(scope="session")
def installed(say: Callable[[str], None]) -> Iterator[World]:
    """Qdrant with agents and coordinators, by the tutorial, in its namespace."""
    keep = bool(os.environ.get("K8S_KEEP"))
    began = time.monotonic()
    with ExitStack() as stack:
        if not (keep and SUPERUSER.exists()):
            before = cluster.networks()
            cluster.up()
            if not keep:
                stack.callback(_take_down, before)
            world.timed("Kubernetes: one node is ready", began, say)
            world.load_images()
            world.timed("images are loaded", began, say)
            world.create_store()
            world.timed("the store serves", began, say)
        made = World(stack.enter_context(world.desk()))
        if "qdrant" not in cluster.kubectl("get", "namespaces", "-o", "name"):
            install(made, lambda what: world.timed(what, began, say))
        else:
            made.desk.write("values.yaml", world.coordinator_values())
            _read_agent_values(made)
        yield made


def _take_down(before: set[str]) -> None:
    """Nothing is left, nor a network namespace that was not there `before`."""
    cluster.down()
    assert cluster.left() == []
    assert cluster.networks() <= before


def install(made: World, step: Callable[[str], None], *, peers: int = 3, data: bool = True) -> None:
    """The tutorial, command by command, from a running Qdrant to agents."""
    space, desk = made.space, made.desk
    world.create_namespace(space)
    desk.write("qdrant.yaml", world.qdrant_values(peers))
    desk.type(f"helm install qdrant qdrant/qdrant --namespace {space} -f qdrant.yaml")
    (desk.folder / ".aws" / "credentials").write_text(world.KEYS)
    for line in guide.commands("Provide etcd, a bucket and secrets"):
        desk.type(line)
    world.create_certificates(space, desk.folder / "tls")
    desk.write("values.yaml", world.coordinator_values())
    made.rolled_out()
    step(f"Qdrant has {peers} peers")
    for line in guide.commands("Install the coordinators"):
        desk.type(line)
    if data:
        made.fill("docs", shards=3, copies=2)
        made.fill("wiki", shards=6)
    made.rolled_out("deployment/cleancut")
    step("data is there, coordinators are ready")
    desk.type(_read_agent_values(made))
    made.rolled_out()
    step("agents are there")


def _read_agent_values(made: World) -> str:
    """They are in the folder, by the guide's command; the command that comes next."""
    read, upgrade = guide.commands("Add the agents")
    made.desk.type(read)
    agent = made.desk.read("agent-values.yaml")
    made.desk.write("agent-values.yaml", world.with_own_lists(agent))
    return upgrade
