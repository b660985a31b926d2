"""Routes of the status page: their paths are an interface, and each stands for a call of the API.

Each page has the same values as JSON under its path with `.json`, `/.json` for the first one. The
manifest of a backup is a file, as the store holds it.
"""

from __future__ import annotations

from typing import NamedTuple

from cleancut.core.auth.roles import NEEDS, Role


class Page(NamedTuple):
    """`stands_for`: the method of the API whose role the page needs; "": admins alone."""

    path: str
    title: str
    stands_for: str

    @property
    def role(self) -> Role:
        """The least role that may read it."""
        return NEEDS[self.stands_for].role if self.stands_for else Role.ADMIN


NOW = Page("/", "Now", "ClusterService/Diagnose")
BACKUPS = Page("/backups", "Backups", "BackupService/ListBackups")
BACKUP = Page("/backups/{name}", "Backup", "BackupService/GetBackup")
RESTORES = Page("/restores", "Restores", "RestoreService/ListRestores")
REBALANCES = Page("/rebalances", "Rebalances", "RebalanceService/ListRebalances")
RESHARDS = Page("/reshards", "Reshards", "ReshardService/ListReshards")
UNDELETES = Page("/undeletes", "Undeletes", "UndeleteService/ListUndeletes")
VERIFICATION = Page("/verification", "Verification", "BackupService/ListBackups")
GROWTH = Page("/growth", "Growth", "BackupService/ListBackups")
CLUSTER = Page("/cluster", "Cluster", "ClusterService/GetStatus")
AUDIT = Page("/audit", "Audit", "")
# A manifest has ids and vectors of sample queries in it, as the log has those of what was written.
MANIFEST = Page("/backups/{name}/manifest.json", "Manifest", "BackupService/ReadLog")

NAVIGATION = (
    NOW,
    BACKUPS,
    RESTORES,
    REBALANCES,
    RESHARDS,
    UNDELETES,
    VERIFICATION,
    GROWTH,
    CLUSTER,
    AUDIT,
)
PAGES = (*NAVIGATION, BACKUP)
