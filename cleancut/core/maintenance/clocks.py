"""Clock check: whether the coordinator's clock can be trusted to expire and delete. Pure.

Retention and garbage collection delete by wall-clock time, and a deletion cannot be undone. So a
gc run stops if the store or any agent disagrees with the coordinator, whichever of them is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.core.maintenance.retention import MAX_SKEW_S
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.timestamps import format_time, parse_time

REPORT_EVERY_S = 600.0
"""How often an agent writes its clock again if nothing else about it changes."""


def find_clock_doubt(now_s: float, store_s: float | None, agents: Mapping[str, str]) -> str:
    """Why this clock is in doubt, "" if it is not. `store_s`: the store's time, None if it has
    none. `agents`: the time that each agent's session holds; "" or anything unreadable: unknown."""
    others: list[tuple[str, float, float]] = []
    if store_s is not None:
        others.append(("the store's", store_s, 0.0))
    for name, text in sorted(agents.items()):
        try:
            others.append((f"that of agent {name}", parse_time(text), 2 * REPORT_EVERY_S))
        except Corrupt:
            continue
    wrong = [
        f"{name} {format_time(there_s)}"
        for name, there_s, age_s in others
        if not -MAX_SKEW_S - age_s <= there_s - now_s <= MAX_SKEW_S
    ]
    if not wrong:
        return ""
    return f"this coordinator's clock says {format_time(now_s)}, {', '.join(wrong)}"
