"""One table says who may do what: of every method there is, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cleancut.core.auth.roles import NEEDS, Role, parse_role, parse_san, role_needed
from cleancut.core.primitives.errors import Invalid
from cleancut.v1 import (
    backup_pb2,
    cluster_pb2,
    rebalance_pb2,
    reshard_pb2,
    restore_pb2,
    schedule_pb2,
    undelete_pb2,
)
from cleancut_coordinator.api.servicers import SERVICES

FILES = (
    backup_pb2,
    cluster_pb2,
    rebalance_pb2,
    reshard_pb2,
    restore_pb2,
    schedule_pb2,
    undelete_pb2,
)
READS = ("Get", "List", "Watch", "Plan", "Diagnose")


def methods() -> Iterator[tuple[str, Any]]:
    """Every method of the API, and what it is asked with."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            assert service.full_name in SERVICES
            for method in service.methods:
                kind = getattr(file, method.input_type.name)
                yield f"{service.name}/{method.name}", kind


def test_the_table_names_exactly_the_methods_that_there_are() -> None:
    assert {name for name, _ in methods()} == set(NEEDS)
    assert {name.split("/")[0] for name in NEEDS} == {one.split(".")[-1] for one in SERVICES}


def test_readers_read_and_nothing_else() -> None:
    """A method's name says whether it changes anything; the table agrees."""
    for name, need in NEEDS.items():
        assert name.split("/")[1].startswith(READS) == (need.role is Role.READER), name


def test_fields_that_make_a_call_an_admins_are_there_and_do() -> None:
    for name, kind in methods():
        for field in NEEDS[name].admin_if:
            options, _, last = field.partition(".")
            request = kind()
            assert role_needed(name, request) is NEEDS[name].role
            inner = getattr(request, options)
            described = inner.DESCRIPTOR.fields_by_name[last]
            if described.is_repeated:
                getattr(inner, last).append(1)
            else:
                setattr(inner, last, "x" if described.type == described.TYPE_STRING else True)
            assert role_needed(name, request) is Role.ADMIN


@pytest.mark.parametrize(
    ("role", "what"),
    [
        (
            Role.ADMIN,
            "DeleteBackup CollectGarbage RepairBackup CleanRestore Adopt UpdateAgentSettings"
            " ForgetPeer",
        ),
        (
            Role.OPERATOR,
            "CreateBackup SeedBackup ImportBackup CancelBackup StartRestore HoldBackup"
            " TriggerSchedule VerifyBackup DrillBackup",
        ),
        (Role.READER, "ListBackups PlanRestore GetStatus WatchRebalance"),
    ],
)
def test_who_does_what(role: Role, what: str) -> None:
    by_method = {name.split("/")[1]: need.role for name, need in NEEDS.items()}
    assert {by_method[name] for name in what.split()} == {role}


def test_a_method_that_nobody_thought_of_is_an_admins() -> None:
    assert role_needed("BackupService/InventedLater", object()) is Role.ADMIN


def test_each_role_may_do_what_the_lesser_ones_may() -> None:
    allowed = [(a.value, b.value) for a in Role for b in Role if a.covers(b)]
    assert allowed == [
        ("reader", "reader"),
        ("operator", "reader"),
        ("operator", "operator"),
        ("admin", "reader"),
        ("admin", "operator"),
        ("admin", "admin"),
    ]
    with pytest.raises(Invalid):
        parse_role("root")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("spiffe://prod/ns/ops/sa/Backup", "spiffe://prod/ns/ops/sa/Backup"),
        ("dns:Grafana.Example", "dns:grafana.example"),
        ("email:a@b.example", "email:a@b.example"),
        ("ip:10.0.0.1", "ip:10.0.0.1"),
        ("grafana.example", None),
        ("cn:root", None),
        ("dns:", None),
        ("dns:a b", None),
        ("", None),
    ],
)
def test_names_of_certificates(text: str, kept: str | None) -> None:
    """A common name is none: any CA puts anything there."""
    if kept is not None:
        assert parse_san(text) == kept
        return
    with pytest.raises(Invalid):
        parse_san(text)
