"""Who may do what over the API: three roles, and one table that names the least of each method.

Who somebody is, and which role they have, is found out in `cleancut.rpc.authentication`.
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
        """Whether it suffices where `needed` is."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Need(NamedTuple):
    """The least role, and fields of the request any of which makes it an admin's, if set."""

    role: Role
    admin_if: tuple[str, ...] = ()


_READ, _RUN, _ADMIN = Need(Role.READER), Need(Role.OPERATOR), Need(Role.ADMIN)

NEEDS: dict[str, Need] = {
    "BackupService/CreateBackup": _RUN,
    "BackupService/SeedBackup": _RUN,
    "BackupService/GetBackup": _READ,
    "BackupService/ListBackups": _READ,
    "BackupService/WatchBackup": _READ,
    "BackupService/CancelBackup": _RUN,
    "BackupService/DeleteBackup": _ADMIN,
    "BackupService/HoldBackup": _RUN,
    "BackupService/ReleaseBackup": _RUN,
    "BackupService/CollectGarbage": _ADMIN,
    "RestoreService/PlanRestore": Need(Role.READER, ("options.from_cluster",)),
    # A restore makes what is not there yet. With `replace` clients get other data, with `shards`
    # a collection in use does; `from_cluster` reads what another cluster's operators answer for.
    "RestoreService/StartRestore": Need(
        Role.OPERATOR, ("options.replace", "options.shards", "options.from_cluster")
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
    "ScheduleService/ListSchedules": _READ,
    "ScheduleService/TriggerSchedule": _RUN,
    "ScheduleService/PauseSchedule": _RUN,
    "ScheduleService/ResumeSchedule": _RUN,
    "ClusterService/GetStatus": _READ,
    "ClusterService/Adopt": _ADMIN,
    "ClusterService/GetAgentSettings": _READ,
    "ClusterService/UpdateAgentSettings": _ADMIN,
    "ClusterService/Diagnose": _READ,
    "ClusterService/ForgetPeer": _ADMIN,
}
"""Every method of the API. One that is missing here is an admin's."""


def short_name(method: str) -> str:
    """`BackupService/GetBackup` of gRPC's path of it."""
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
        raise Invalid(f"{text!r} is no role", f"write {', '.join(Role)}") from error


_SANS = ("dns:", "email:", "ip:")


def parse_san(text: str) -> str:
    """A subject alternative name as certificates are compared by: `dns:NAME`, `email:ADDRESS`,
    `ip:ADDRESS`, or a URI as it is. Raises: Invalid."""
    kind, colon, rest = text.partition(":")
    if not rest or not text.isprintable() or " " in text:
        raise Invalid(f"{text!r} is no subject alternative name", _SAN_HINT)
    if f"{kind}{colon}" in _SANS:
        return f"{kind}:{rest.lower()}"
    if not rest.startswith("//"):
        raise Invalid(f"{text!r} is no subject alternative name", _SAN_HINT)
    return text


_SAN_HINT = "write spiffe://domain/path, dns:name, email:address or ip:address"
