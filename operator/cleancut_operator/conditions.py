"""Conditions of a status: Progressing, Complete and Failed, one of which holds, or Ready. Pure."""

from __future__ import annotations

from typing import Any

from cleancut_operator.resources import Kind, Seen

PROGRESSING, COMPLETE, FAILED, READY = "Progressing", "Complete", "Failed", "Ready"
TYPES = (PROGRESSING, COMPLETE, FAILED)
_LONGEST = 1024


def conditions(
    seen: Seen, holds: str, reason: str, message: str, *, now: str
) -> list[dict[str, Any]]:
    """All of its kind; `holds` is the one that is True. The time of one that has not changed
    stays."""
    types = (READY,) if seen.kind is Kind.SCHEDULE else TYPES
    before = {one["type"]: one for one in seen.status.get("conditions", ())}
    made = []
    for name in types:
        status = "True" if name == holds else "False"
        old = before.get(name, {})
        made.append(
            {
                "type": name,
                "status": status,
                "reason": camel(reason),
                "message": message[:_LONGEST],
                "observedGeneration": seen.generation,
                "lastTransitionTime": (
                    old["lastTransitionTime"] if old.get("status") == status else now
                ),
            }
        )
    return made


def holds(seen: Seen, name: str) -> bool:
    """Whether its status says that the condition holds."""
    found = seen.status.get("conditions", ())
    return any(one["type"] == name and one["status"] == "True" for one in found)


def camel(reason: str) -> str:
    """A code such as NEEDS_OPERATOR as Kubernetes writes reasons: NeedsOperator."""
    return "".join(part.capitalize() for part in reason.split("_")) or "Unknown"
