"""Work on backups that takes no turn, as stores keep it in their history."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cleancut.api.values import ApiValue


class EndedWork(ApiValue, frozen=True):
    """One verification, drill, copy or gc run that has ended. `kind`: verify | drill | copy | gc.
    `state`: DONE | FAILED. `epoch`: the backup that it is of, 0 for several. `schedule` or
    `asked_by`: who started it, "" for what the leader does by itself. `outcome`: good, or what was
    found, for people. `facts`: other numbers and texts by name, such as `read_bytes`."""

    id: str
    kind: str
    state: str
    at: str
    ended_at: str
    epoch: int = 0
    schedule: str = ""
    asked_by: str = ""
    outcome: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
