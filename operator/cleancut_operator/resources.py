"""Objects of Kubernetes that the operator mirrors: their group, kinds, and what is read of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

GROUP = "cleancut.dev"
VERSION = "v1alpha1"
FINALIZER = f"{GROUP}/delete-backup"
"""On a CleancutBackup whose `deletionPolicy` is Delete, and on nothing else."""
SCHEDULE_FINALIZER = f"{GROUP}/delete-schedule"
"""On a CleancutSchedule that defines one and does not say Retain, and on nothing else."""

Fields = Mapping[str, Any]


class Kind(StrEnum):
    BACKUP = "CleancutBackup"
    RESTORE = "CleancutRestore"
    SCHEDULE = "CleancutSchedule"

    @property
    def plural(self) -> str:
        return f"{self.value.lower()}s"


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as the API server last gave it. `is_leaving`: it was deleted, and finalizers hold
    it. `version`: the API server's, which each change has to be of."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    spec: Fields
    status: Fields
    finalizers: tuple[str, ...]
    is_leaving: bool

    @property
    def deletes(self) -> bool:
        """Whether what it has made goes with it: its backup, or the schedule that it defines."""
        if self.kind is Kind.SCHEDULE:
            return self.defines and self.spec.get("deletionPolicy") != "Retain"
        return self.kind is Kind.BACKUP and self.spec.get("deletionPolicy") == "Delete"

    @property
    def defines(self) -> bool:
        """Whether it is a schedule, not only a view of one."""
        return self.kind is Kind.SCHEDULE and "cron" in self.spec

    @property
    def finalizer(self) -> str:
        return SCHEDULE_FINALIZER if self.kind is Kind.SCHEDULE else FINALIZER

    @property
    def owner(self) -> str:
        """What it is to the coordinators, which take the changes of one owner alone."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in the API server."""
        kind = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{self.kind.plural}"
        return f"{kind}/{self.name}"


def seen_of(kind: Kind, found: Fields) -> Seen:
    """The object of `found`, as the API server writes it."""
    metadata = found["metadata"]
    return Seen(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=metadata.get("resourceVersion", ""),
        spec=found.get("spec") or {},
        status=found.get("status") or {},
        finalizers=tuple(metadata.get("finalizers") or ()),
        is_leaving="deletionTimestamp" in metadata,
    )
