"""Generator of docs/reference/schemas: a JSON schema of each document that `-o json` prints.

Usage: python -m tools.gen_schemas [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from cleancut.api.archive import Archive, ArchiveMark, LogPage
from cleancut.api.backups import Backup, BackupPlan, Evidence
from cleancut.api.checks import Drill, Verdict
from cleancut.api.cluster import (
    AgentSettings,
    DoctorFinding,
    ForgottenPeer,
    Identity,
)
from cleancut.api.copies import Copy
from cleancut.api.diffs import Diff
from cleancut.api.garbage import GarbageCollection
from cleancut.api.rebalances import Rebalance, RebalancePlan
from cleancut.api.repairs import Repair
from cleancut.api.reshards import Reshard, ReshardPlan
from cleancut.api.restores import Restore, RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.searches import SearchAnswer
from cleancut.api.status import Status
from cleancut.api.undeletes import Undelete, UndeletePlan
from cleancut.api.values import SCHEMA, CommandError

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"
DOCUMENTS: dict[str, tuple[str, Any]] = {
    "error": ("error", CommandError),
    "backup": ("backup", Backup),
    "backups": ("backups", list[Backup]),
    "backup-plan": ("plan", BackupPlan),
    "evidence": ("evidence", Evidence),
    "verify": ("verify", Verdict),
    "drill": ("drill", Drill),
    "copy": ("copy", Copy),
    "repair": ("repair", Repair),
    "diff": ("diff", Diff),
    "answer": ("answer", SearchAnswer),
    "gc": ("gc", GarbageCollection),
    "restore": ("restore", Restore),
    "restores": ("restores", list[Restore]),
    "restore-plan": ("plan", RestorePlan),
    "rebalance": ("rebalance", Rebalance),
    "rebalances": ("rebalances", list[Rebalance]),
    "rebalance-plan": ("plan", RebalancePlan),
    "reshard": ("reshard", Reshard),
    "reshards": ("reshards", list[Reshard]),
    "reshard-plan": ("plan", ReshardPlan),
    "undelete": ("undelete", Undelete),
    "undeletes": ("undeletes", list[Undelete]),
    "undelete-plan": ("plan", UndeletePlan),
    "schedule": ("schedule", Schedule),
    "schedules": ("schedules", list[Schedule]),
    "status": ("status", Status),
    "identity": ("identity", Identity),
    "settings": ("settings", AgentSettings),
    "log": ("log", LogPage),
    "archive": ("archive", Archive),
    "mark": ("mark", ArchiveMark),
    "findings": ("findings", list[DoctorFinding]),
    "peer": ("peer", ForgottenPeer),
}
"""Each file's name, the key of the value in the document, and its type."""


def schema(name: str) -> dict[str, Any]:
    """Of the whole document: the version of the shapes, and one value."""
    key, kind = DOCUMENTS[name]
    (value,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, key: value},
        "required": ["schema", key],
        "$defs": parts,
    }


def files() -> dict[str, str]:
    """Each file of the folder with its text."""
    return {
        f"{name}.json": msgspec.json.format(
            msgspec.json.encode(schema(name), order="deterministic"), indent=1
        ).decode()
        + "\n"
        for name in DOCUMENTS
    }


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
