"""Prints the state diagrams of ARCHITECTURE.md, made from the machines' own tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cleancut.core.backup import phases
from cleancut.core.protocol.states import Phase
from cleancut.core.rebalance import phases as rebalance_phases
from cleancut.core.restore import phases as restore_phases

SEED_WAYS = {
    way: f"a seed, {cause}"
    for way, cause in phases.SEED_TRANSITIONS.items()
    if way not in phases.TRANSITIONS
}
TABLES = (
    ("Backup, and seed", {**phases.TRANSITIONS, **SEED_WAYS}),
    ("Restore", restore_phases.TRANSITIONS),
    ("Rebalance", rebalance_phases.TRANSITIONS),
)
BEGIN, END = "<!-- transitions:begin -->", "<!-- transitions:end -->"


def diagram(table: Mapping[tuple[Phase, Phase], str]) -> str:
    """One mermaid state diagram, in the table's order. A semicolon would end mermaid's line."""
    ways = [
        f"  {before} --> {after}: {cause.replace(';', ',')}"
        for (before, after), cause in table.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"  [*] --> {Phase.IDLE}", *ways, "```"])


def text() -> str:
    """All that stands between the markers, the newlines beside them included."""
    parts = [f"{name}:\n\n{diagram(table)}\n" for name, table in TABLES]
    return "\n" + "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(text())
