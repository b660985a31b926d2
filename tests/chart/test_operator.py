"""The operator on a real API server: CRDs, RBAC and flags as the chart renders them, coordinators
and agents on the stand-in. Skipped where there is no API server."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cleancut.core.primitives.errors import Fenced
from cleancut.core.primitives.labels import MAX_LABELS, MAX_VALUE
from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.free_ports import free_ports
from cleancut_devcluster.launch.process import Child, start_child, wait_logged
from cleancut_devcluster.launch.setup import Secured
from cleancut_operator.kube import KubeApi
from cleancut_operator.resources import FINALIZER, GROUP, VERSION, Kind, seen_of
from tests.chart.pod import as_user
from tests.chart.rendering import CHART, NAMESPACE, ROOT, Object, rendered
from tests.e2e.world import Launcher, World
from tests.support.kube_server import NO_SERVER, Answer, KubeServer, kube_apiserver

TOKEN = "token-of-the-operator"
SERVED_S, DONE_S = 30.0, 60.0
USER = 65532
RESTORE = {"backup": "17", "confirm": "17"}
BASE = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}"


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeServer]:
    """With the namespace, and what the chart renders for the operator."""
    if kube_apiserver() is None:
        pytest.skip(NO_SERVER)
    with KubeServer({f"{NAMESPACE}:cc-cleancut-operator": TOKEN}) as server:
        made = server.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        assert made.status == 201, made
        for one in rendered("helm4", CHART / "ci" / "production-values.yaml"):
            if is_operators(one):
                made = server.create(one)
                assert made.status == 201, (one["kind"], made.message)
        for kind in Kind:
            until(partial(is_served, server, kind), SERVED_S)
        yield server


@dataclass
class Login:
    """The operator's, as kopf gives it."""

    kube: KubeServer

    @property
    def server(self) -> str:
        return self.kube.url

    def as_ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.kube.folder / "ca.pem"))

    def as_http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}


def is_served(server: KubeServer, kind: Kind) -> bool:
    return server.call("GET", f"{BASE}/{kind.plural}").status == 200


def is_operators(one: Object) -> bool:
    if one["kind"] == "CustomResourceDefinition":
        return True
    return bool(one["metadata"]["name"].endswith("-operator"))


def until(is_so: Callable[[], bool], limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end_s, f"not within {limit_s} s"
        time.sleep(0.2)


def one_of(kind: str, name: str, spec: Any = None) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    made = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata}
    return made if spec is None else made | {"spec": spec}


def create(kube: KubeServer, kind: str, name: str, spec: Any = None) -> Answer:
    return kube.create(one_of(kind, name, spec))


def at(kind: str, name: str) -> str:
    return f"{BASE}/{kind.lower()}s/{name}"


def edit(kube: KubeServer, kind: str, name: str, **spec: Any) -> Answer:
    return kube.call("PATCH", at(kind, name), {"spec": spec})


def test_a_status_is_never_written_into_another_object_of_the_name(kube: KubeServer) -> None:
    assert create(kube, "CleancutBackup", "again", {}).status == 201
    path = at("CleancutBackup", "again")
    first = seen_of(Kind.BACKUP, kube.call("GET", path).body)
    assert kube.call("DELETE", path).status == 200
    assert create(kube, "CleancutBackup", "again", {}).status == 201

    async def body() -> None:
        async with KubeApi(partial(Login, kube)) as api:
            with pytest.raises(Fenced):
                await api.set_status(first, {"state": "ok"})
            second = seen_of(Kind.BACKUP, kube.call("GET", path).body)
            assert (await api.set_status(second, {"state": "pending"})).uid == second.uid

    asyncio.run(body())
    assert kube.call("DELETE", path).status == 200


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("CleancutBackup", {"attempts": 0}, "attempts"),
        ("CleancutBackup", {"labels": {"a": "x" * (MAX_VALUE + 1)}}, "labels"),
        ("CleancutBackup", {"labels": {str(n): "" for n in range(MAX_LABELS + 1)}}, "labels"),
        ("CleancutBackup", {"deletionPolicy": "Keep"}, "deletionPolicy"),
        ("CleancutRestore", {"backup": "17"}, "confirm"),
        ("CleancutRestore", {"backup": "17", "confirm": "18"}, "confirm has to repeat the backup"),
        ("CleancutRestore", {"backup": "latest", "confirm": "latest"}, "spec.backup"),
        (
            "CleancutRestore",
            {"backup": "17", "confirm": "17", "beside": True, "replace": True},
            "choose one of the two",
        ),
        (
            "CleancutRestore",
            {"backup": "17", "confirm": "17", "at": "2026-11-30T10:00:00Z", "mark": "noon"},
            "exclude each other",
        ),
        ("CleancutRestore", RESTORE | {"exact": True}, "exact belongs to at"),
        ("CleancutRestore", RESTORE | {"force": True}, "force belongs to without"),
        ("CleancutRestore", RESTORE | {"before": "2:1", "without": "2:1"}, "exclude each other"),
        ("CleancutRestore", RESTORE | {"peerId": 1}, "peerId belongs to onlyShards"),
        ("CleancutRestore", RESTORE | {"overwrite": True, "collections": ["docs"]}, "repeat it"),
        ("CleancutRestore", RESTORE | {"confirmOverwrite": "docs"}, "belongs to overwrite"),
        (
            "CleancutRestore",
            RESTORE
            | {"overwrite": True, "beside": True, "collections": ["a"], "confirmOverwrite": "a"},
            "overwrite excludes",
        ),
        ("CleancutSchedule", {"retention": {"keepLast": 3}}, "without cron"),
        ("CleancutSchedule", {"cron": "@daily", "overlap": "both"}, "overlap"),
        ("CleancutSchedule", {"cron": "@daily", "retention": {"keepLast": -1}}, "keepLast"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_api_server(
    kube: KubeServer, kind: str, spec: Any, told: str
) -> None:
    answer = create(kube, kind, "wrong", spec)
    assert answer.status == 422, answer
    assert told in answer.message


def test_a_spec_stays_but_for_the_deletion_policy(kube: KubeServer) -> None:
    assert create(kube, "CleancutBackup", "fixed").status == 201
    spec = kube.call("GET", at("CleancutBackup", "fixed")).body["spec"]
    assert (spec["deletionPolicy"], spec["attempts"], spec["collections"]) == ("Retain", 3, [])
    for change in (
        {"collections": ["docs"]},
        {"full": True},
        {"labels": {"a": "b"}},
        {"keep": "30d"},
    ):
        answer = edit(kube, "CleancutBackup", "fixed", **change)
        assert (answer.status, "create another object" in answer.message) == (422, True), change
    assert edit(kube, "CleancutBackup", "fixed", deletionPolicy="Delete").status == 200
    restore = {"backup": "17", "confirm": "17"}
    assert create(kube, "CleancutRestore", "fixed", restore).status == 201
    answer = edit(kube, "CleancutRestore", "fixed", collections=["docs"])
    assert (answer.status, "carried out once" in answer.message) == (422, True)
    for kind in ("CleancutBackup", "CleancutRestore"):
        assert kube.call("DELETE", at(kind, "fixed")).status == 200


def test_the_operator_may_do_what_it_needs_and_nothing_else(kube: KubeServer) -> None:
    """By its Role: its own kinds and events in its own namespace."""

    def may(method: str, path: str, body: Any = None) -> bool:
        return kube.call(method, path, body, token=TOKEN).status not in {401, 403}

    assert may("GET", f"{BASE}/cleancutbackups")
    assert may("PATCH", f"{at('CleancutBackup', 'none')}/status", {"status": {}})
    assert may("PATCH", at("CleancutBackup", "none"), {"metadata": {}})
    others = f"/apis/{GROUP}/{VERSION}/cleancutbackups"
    new = one_of("CleancutBackup", "own")
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for method, path, body in (
        ("GET", others, None),
        ("POST", f"{BASE}/cleancutbackups", new),
        ("DELETE", at("CleancutBackup", "none"), None),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets", None),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods", None),
        ("GET", crds, None),
        ("GET", "/api/v1/namespaces", None),
    ):
        assert not may(method, path, body), (method, path)


@pytest.fixture(scope="module")
def world(kube: KubeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two peers and a coordinator, with small data."""
    del kube  # without which nothing is started
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = tmp_path_factory.mktemp("operator")
        file = folder / "settings.toml"
        file.write_text('[schedule.yearly]\ncron = "0 3 1 1 *"\n')
        launch = Launcher(stack, runner, "standin", folder)
        secured = Secured(coordinator=[f"--config={file}"])
        one = launch(peers=2, coordinators=1, secured=secured)
        one.fill()
        yield one


class Operator:
    """The program as the user of its pod, which no machine knows; tests end and start it again."""

    def __init__(self, world: World, kube: KubeServer) -> None:
        self._world, self._kube, self._folder = world, kube, world.setup.base_dir
        self._runs = 0
        self.child: Child | None = None

    def start(self) -> Child:
        self._runs += 1
        path = ":".join(str(ROOT / folder) for folder in ("", "operator"))
        kubeconfig = self._kube.kubeconfig(TOKEN, NAMESPACE)
        env = {"PYTHONPATH": path, "KUBECONFIG": str(kubeconfig), "PYTHONUNBUFFERED": "1"}
        (http,) = free_ports(1)
        argv = ["-m", "cleancut_operator.main", f"--coordinator={self._world.setup.addresses}"]
        argv += [f"--namespace={NAMESPACE}", f"--http=127.0.0.1:{http}"]
        log = Path(self._folder) / f"operator-{self._runs}.log"
        command = [*as_user(USER, USER, USER), sys.executable, *argv]
        child = self._world.run(start_child("operator", command, log, env))
        self._world.run(wait_logged(child, "listening", "http_port"))
        self.child = child
        return child

    def kill(self) -> None:
        assert self.child is not None
        self._world.run(self.child.kill())


@pytest.fixture
def operator(world: World, kube: KubeServer) -> Iterator[Operator]:
    one = Operator(world, kube)
    yield one
    if one.child is not None:
        world.run(one.child.stop())
        assert "Traceback" not in one.child.log.read_text()


def status_of(kube: KubeServer, kind: str, name: str) -> dict[str, Any]:
    return dict(kube.call("GET", at(kind, name)).body.get("status", {}))


def wait_condition(kube: KubeServer, kind: str, name: str, condition: str) -> dict[str, Any]:
    """The status, once the operation has ended, which it did so."""

    def holding() -> set[str]:
        found = status_of(kube, kind, name).get("conditions", [])
        return {one["type"] for one in found if one["status"] == "True"}

    until(lambda: bool(holding() & {"Complete", "Failed"}), DONE_S)
    status = status_of(kube, kind, name)
    assert holding() == {condition}, status
    return status


def events(kube: KubeServer, name: str) -> list[str]:
    """The reasons of the events about an object."""
    found = kube.call("GET", f"/api/v1/namespaces/{NAMESPACE}/events").body["items"]
    return [one["reason"] for one in found if one["involvedObject"]["name"] == name]


def is_gone(kube: KubeServer, name: str, kind: str = "CleancutBackup") -> bool:
    return kube.call("GET", at(kind, name)).status == 404


def ready(kube: KubeServer, name: str) -> tuple[str, str]:
    """The condition of a schedule, and its reason."""
    found = status_of(kube, "CleancutSchedule", name).get("conditions", [])
    return next(((one["status"], one["reason"]) for one in found), ("", ""))


def check_defined(world: World, kube: KubeServer) -> None:
    """An object is a schedule: changed, refused and deleted as it says; of two with one name the
    first counts, and one of the file."""
    own = {"cron": "30 2 * * *", "maxAge": "30h", "retention": {"keepDaily": 7}}
    assert create(kube, "CleancutSchedule", "nightly", own).status == 201
    until(lambda: ready(kube, "nightly") == ("True", "Waiting"), DONE_S)
    made = {one["name"]: one for one in world.ok("schedules", "schedule", "list")}["nightly"]
    assert (made["cron"], made["max_age_s"], made["origin"]) == ("30 2 * * *", 108000.0, "api")
    assert made["owner"] == f"CleancutSchedule {NAMESPACE}/nightly"
    second = {"schedule": "nightly", "cron": "@daily"}
    assert create(kube, "CleancutSchedule", "second", second).status == 201
    file = {"schedule": "yearly", "cron": "@daily"}
    assert create(kube, "CleancutSchedule", "file", file).status == 201
    until(lambda: ready(kube, "second") == ("False", "DefinedElsewhere"), DONE_S)
    until(lambda: ready(kube, "file") == ("False", "DefinedInFile"), DONE_S)
    assert edit(kube, "CleancutSchedule", "nightly", cron="61 2 * * *").status == 200
    until(lambda: ready(kube, "nightly") == ("False", "Invalid"), DONE_S)
    assert edit(kube, "CleancutSchedule", "nightly", cron="0 4 * * *").status == 200
    until(lambda: ready(kube, "nightly") == ("True", "Waiting"), DONE_S)
    assert edit(kube, "CleancutSchedule", "nightly", cron=None).status == 422
    for name in ("second", "file", "nightly"):
        assert kube.call("DELETE", at("CleancutSchedule", name)).status == 200
        until(partial(is_gone, kube, name, "CleancutSchedule"), DONE_S)
    assert [one["name"] for one in world.ok("schedules", "schedule", "list")] == ["yearly"]


def test_objects_become_backups_and_restores(
    world: World, kube: KubeServer, operator: Operator
) -> None:
    """Through an operator that is killed in between; each once; and what goes with an object does
    so only where it says so."""
    operator.start()
    assert create(kube, "CleancutBackup", "first").status == 201
    until(lambda: "requestedAt" in status_of(kube, "CleancutBackup", "first"), DONE_S)
    operator.kill()
    operator.start()
    first = wait_condition(kube, "CleancutBackup", "first", "Complete")
    (made,) = world.ok("backups", "backup", "list")
    assert (first["id"], first["number"], first["state"]) == (made["id"], made["epoch"], "ok")
    assert first["bytes"]["protected"] == made["bytes"]["protected"] > 0
    found = kube.call("GET", at("CleancutBackup", "first")).body["metadata"]
    assert "finalizers" not in found
    assert "annotations" not in found
    (row,) = kube.table(f"{BASE}/cleancutbackups")
    assert (row["Name"], row["Number"], row["State"]) == ("first", made["epoch"], "ok")
    assert row["Size"] == first["size"]
    assert "Complete" in events(kube, "first")

    number = str(first["number"])
    renames = [{"from": COLLECTION, "to": "restored"}]
    spec = {"backup": number, "confirm": number, "renames": renames}
    assert create(kube, "CleancutRestore", "back", spec).status == 201
    back = wait_condition(kube, "CleancutRestore", "back", "Complete")
    assert back["number"] == first["number"]
    assert world.collections() == sorted([COLLECTION, "restored"])
    missing = {"backup": "999999", "confirm": "999999"}
    assert create(kube, "CleancutRestore", "missing", missing).status == 201
    failed = wait_condition(kube, "CleancutRestore", "missing", "Failed")
    assert failed["reason"] == "NOT_FOUND"

    assert create(kube, "CleancutSchedule", "yearly", {"suspend": True}).status == 201
    until(lambda: status_of(kube, "CleancutSchedule", "yearly").get("paused") is True, DONE_S)
    assert world.ok("schedules", "schedule", "list")[0]["paused"]
    (row,) = kube.table(f"{BASE}/cleancutschedules")
    assert (row["Cron"], row["Paused"]) == ("0 3 1 1 *", True)

    check_defined(world, kube)

    goes = {"deletionPolicy": "Delete", "labels": {"by": "git"}}
    assert create(kube, "CleancutBackup", "goes", goes).status == 201
    second = wait_condition(kube, "CleancutBackup", "goes", "Complete")
    assert world.ok("backup", "backup", "show", second["id"])["labels"] == {"by": "git"}
    assert set(events(kube, "goes")) == {"Started", "Complete"}
    assert kube.call("GET", at("CleancutBackup", "goes")).body["metadata"]["finalizers"] == [
        FINALIZER
    ]
    for name in ("first", "goes"):
        assert kube.call("DELETE", at("CleancutBackup", name)).status == 200
        until(partial(is_gone, kube, name), DONE_S)
    assert world.groups() == [first["id"]] != [second["id"]]
