"""The operator in its pod, with the Role of the chart, over TLS with a client certificate and an
admin's token: objects become backups, schedules and restores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.k8s.cluster import kubectl, until
from tests.k8s.world import POINTS, World

ACCOUNT = "system:serviceaccount:qdrant:cleancut-operator"
COPY = "docs-again"


@pytest.fixture(scope="module")
def operated(installed: World) -> Iterator[World]:
    """The release with the operator, which may do what an admin may."""
    installed.whole()
    made = installed.read("token", "new", "--name", "operator", "--role", "admin")["token"]
    installed.keep_secret("operator-tokens", tokens=made["line"] + "\n")
    installed.keep_secret("operator-token", token=made["token"])
    api = {
        **installed.desk.read("values.yaml")["api"],
        "clientSecret": "cleancut-client",
        "tokensSecret": "operator-tokens",
        "clientTokenSecret": "operator-token",
    }
    with installed.changed_values(api=api, operator={"enabled": True}):
        installed.rolled_out("deployment/cleancut-operator")
        yield installed
        said = installed.kubectl("logs", "deploy/cleancut-operator")
        assert "Traceback" not in said
        assert "forbidden" not in said


def create(world: World, kind: str, name: str, spec: dict[str, Any]) -> None:
    document = {
        "apiVersion": "cleancut.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    world.kubectl("create", "-f", "-", text=json.dumps(document))


def status(world: World, what: str) -> dict[str, Any]:
    found = json.loads(world.kubectl("get", what, "-o", "json"))
    return dict(found.get("status", {}))


def holding(world: World, what: str) -> list[tuple[str, str]]:
    """The conditions that hold, each with its reason."""
    found = status(world, what).get("conditions", [])
    return [(one["type"], one["reason"]) for one in found if one["status"] == "True"]


def complete(world: World, what: str) -> dict[str, Any]:
    """The status, once the operation has succeeded."""
    until(lambda: holding(world, what)[0][0] in {"Complete", "Failed"}, f"the end of {what}", 300)
    found = status(world, what)
    assert holding(world, what)[0][0] == "Complete", found
    return found


def may(world: World, verb: str, group: str, resource: str) -> bool:
    """Whether the operator's account may do that in its namespace."""
    wanted = {"namespace": world.space, "verb": verb, "group": group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": wanted},
    }
    said = kubectl("create", "-f", "-", "-o", "json", text=json.dumps(review))
    return bool(json.loads(said)["status"]["allowed"])


def test_a_backup_over_the_deletion_of_the_operators_pod(operated: World) -> None:
    """It is made once, and the Role gives the operator no more than it needs."""
    before = {one["id"] for one in operated.read("backup", "list")["backups"]}
    create(operated, "CleancutBackup", "first", {"labels": {"by": "git"}})
    until(lambda: "requestedAt" in status(operated, "cleancutbackup/first"), "it is asked for")
    own = "app.kubernetes.io/component=operator"
    operated.kubectl("delete", "pod", "-l", own, "--now", "--wait=false")
    found = complete(operated, "cleancutbackup/first")
    made = {one["id"] for one in operated.read("backup", "list")["backups"]} - before
    assert made == {found["id"]}
    assert operated.backup(found["id"])["labels"] == {"by": "git"}
    operated.kubectl("delete", "cleancutbackup/first", "--timeout=60s")
    assert operated.backup(found["id"])["state"] == "COMMITTED"
    assert may(operated, "list", "cleancut.dev", "cleancutbackups")
    assert not may(operated, "get", "", "secrets")


def test_a_schedule_is_defined_changed_and_deleted(operated: World) -> None:
    """Its backup is made, and stays."""
    what = "cleancutschedule/minutely"
    create(operated, "CleancutSchedule", "minutely", {"cron": "* * * * *", "collections": ["docs"]})
    until(lambda: status(operated, what).get("lastState") == "ok", "a scheduled backup", 300)
    assert holding(operated, what) == [("Ready", "Waiting")]
    found = status(operated, what)["lastId"]
    assert operated.backup(found)["schedule"] == "minutely"
    change = json.dumps({"spec": {"cron": "0 4 * * *", "suspend": True}})
    operated.kubectl("patch", what, "--type=merge", "-p", change)

    def changed() -> bool:
        (one,) = operated.read("schedule", "list")["schedules"]
        return (one["cron"], one["paused"]) == ("0 4 * * *", True)

    until(changed, "the schedule is changed and paused", 120)
    operated.kubectl("delete", what, "--timeout=120s", timeout_s=150)
    assert operated.read("schedule", "list")["schedules"] == []
    assert operated.backup(found)["state"] == "COMMITTED"


def test_a_restore_waits_for_coordinators_that_are_away(operated: World) -> None:
    """It says so meanwhile, and restores a collection under another name once they are back."""
    number = operated.back_up()
    epoch = str(operated.backup(number)["epoch"])
    renames = [{"from": "docs", "to": COPY}]
    operated.kubectl("scale", "deploy/cleancut", "--replicas=0")
    try:
        until(lambda: operated.pods(0, "app.kubernetes.io/component=coordinator"), "none is there")
        spec = {"backup": epoch, "confirm": epoch, "collections": ["docs"], "renames": renames}
        create(operated, "CleancutRestore", "again", spec)
        waits = ("Progressing", "Unavailable")
        until(lambda: waits in holding(operated, "cleancutrestore/again"), "it says that it waits")
    finally:
        operated.kubectl("scale", "deploy/cleancut", "--replicas=2")
    operated.rolled_out("deployment/cleancut")
    found = complete(operated, "cleancutrestore/again")
    assert found["number"] == int(epoch)
    assert operated.count(COPY) == POINTS["docs"]
    operated.drop(COPY)
    operated.kubectl("delete", "cleancutrestore/again", "--timeout=60s")
    operated.whole()
