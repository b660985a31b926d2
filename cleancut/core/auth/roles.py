"""Roles of the API: three of them, and one table with the least role that each method needs.

Callers and their roles are identified in `cleancut.rpc.authentication`.
"""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from cleancut.core.primitives.errors import Invalid

_SERVICES = "/cleancut.v1."


class Role(StrEnum):
    """Each may do what the ones before it may."""

    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """True if this role suffices where `needed` is required."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Need(NamedTuple):
    """The least role. If any of the request's fields `admin_if` is set, the role is admin."""

    role: Role
    admin_if: tuple[str, ...] = ()


_READ, _RUN, _ADMIN = Need(Role.READER), Need(Role.OPERATOR), Need(Role.ADMIN)

NEEDS: dict[str, Need] = {
    "BackupService/PlanBackup": _READ,
    "BackupService/CreateBackup": _RUN,
    "BackupService/SeedBackup": _RUN,
    "BackupService/ImportBackup": _RUN,
    "BackupService/GetBackup": _READ,
    "BackupService/ListBackups": _READ,
    "BackupService/WatchBackup": _READ,
    "BackupService/CancelBackup": _RUN,
    "BackupService/DeleteBackup": _ADMIN,
    "BackupService/HoldBackup": _RUN,
    "BackupService/ReleaseBackup": _RUN,
    "BackupService/CollectGarbage": _ADMIN,
    "BackupService/RepairBackup": _ADMIN,
    "BackupService/VerifyBackup": _RUN,
    "BackupService/DrillBackup": _RUN,
    # It shows ids, filters and payload keys of what clients wrote.
    "BackupService/ReadLog": _RUN,
    "RestoreService/PlanRestore": Need(Role.READER, ("options.from_cluster",)),
    # A restore only adds collections. `replace` changes the data that clients read, `overwrite`
    # deletes a collection, `only_shards` changes one in use, `from_cluster` reads data of another
    # cluster, and `quotas` limits all of this one.
    "RestoreService/StartRestore": Need(
        Role.OPERATOR,
        (
            "options.replace",
            "options.overwrite",
            "options.only_shards",
            "options.from_cluster",
            "options.quotas",
        ),
    ),
    "RestoreService/GetRestore": _READ,
    "RestoreService/ListRestores": _READ,
    "RestoreService/WatchRestore": _READ,
    "RestoreService/CancelRestore": _RUN,
    "RestoreService/CleanRestore": _ADMIN,
    "RebalanceService/PlanRebalance": _READ,
    # Moving replicas loses none; dropping those over the replication factor does.
    "RebalanceService/StartRebalance": Need(Role.OPERATOR, ("options.drop_surplus",)),
    "RebalanceService/GetRebalance": _READ,
    "RebalanceService/ListRebalances": _READ,
    "RebalanceService/WatchRebalance": _READ,
    "RebalanceService/CancelRebalance": _RUN,
    "ReshardService/PlanReshard": _READ,
    "ReshardService/StartReshard": _RUN,
    "ReshardService/GetReshard": _READ,
    "ReshardService/ListReshards": _READ,
    "ReshardService/WatchReshard": _READ,
    "ReshardService/CancelReshard": _RUN,
    "UndeleteService/PlanUndelete": _READ,
    # Without `overwrite` it only adds points that are not there.
    "UndeleteService/StartUndelete": Need(Role.OPERATOR, ("options.overwrite",)),
    "UndeleteService/GetUndelete": _READ,
    "UndeleteService/ListUndeletes": _READ,
    "UndeleteService/WatchUndelete": _READ,
    "UndeleteService/CancelUndelete": _RUN,
    "ScheduleService/ListSchedules": _READ,
    "ScheduleService/TriggerSchedule": _RUN,
    "ScheduleService/PauseSchedule": _RUN,
    "ScheduleService/ResumeSchedule": _RUN,
    # Its retention expires backups, and without it none are made.
    "ScheduleService/PutSchedule": _ADMIN,
    "ScheduleService/DeleteSchedule": _ADMIN,
    "ClusterService/GetStatus": _READ,
    "ClusterService/GetProtection": _READ,
    "ClusterService/Adopt": _ADMIN,
    "ClusterService/GetAgentSettings": _READ,
    "ClusterService/UpdateAgentSettings": _ADMIN,
    "ClusterService/Diagnose": _READ,
    "ClusterService/GetArchive": _READ,
    "ClusterService/TakeMark": _RUN,
    "ClusterService/ForgetPeer": _ADMIN,
}
"""Every method of the API. A method that is missing here needs the role admin."""


def short_name(method: str) -> str:
    """The method without its package: `BackupService/GetBackup`."""
    return method.removeprefix(_SERVICES)


def role_needed(method: str, request: object) -> Role:
    """The least role for this call. Shape: `method` as in `NEEDS`."""
    need = NEEDS.get(method, _ADMIN)
    if any(attrgetter(field)(request) for field in need.admin_if):
        return Role.ADMIN
    return need.role


def parse_role(text: str) -> Role:
    """Raises: Invalid."""
    try:
        return Role(text)
    except ValueError as error:
        raise Invalid(f"invalid role {text!r}", f"use one of {', '.join(Role)}") from error


_SANS = ("dns:", "email:", "ip:")


def parse_san(text: str) -> str:
    """The form in which subject alternative names are compared: `dns:NAME`, `email:ADDRESS`,
    `ip:ADDRESS`, or a URI as it is. Raises: Invalid."""
    kind, colon, rest = text.partition(":")
    if not rest or not text.isprintable() or " " in text:
        raise Invalid(f"invalid subject alternative name {text!r}", _SAN_HINT)
    if f"{kind}{colon}" in _SANS:
        return f"{kind}:{rest.lower()}"
    if not rest.startswith("//"):
        raise Invalid(f"invalid subject alternative name {text!r}", _SAN_HINT)
    return text


_SAN_HINT = "use spiffe://domain/path, dns:name, email:address or ip:address"
