"""The fault matrix as docs/reference/guarantees.md shows it, made from the results of a run.

Usage: python -m tests.chaos.matrix RESULTS
Runs append their results to the file that `$CHAOS_RESULTS` names; of several results of one cell
the last one counts, so that a run can be completed by another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.chaos.backups import FaultResult
from tests.chaos.faults import Fault

RESULTS = "CHAOS_RESULTS"
BEGIN, END = "<!-- fault matrix:begin -->\n", "<!-- fault matrix:end -->"
PHASES = ("PREPARE", "FENCE", "CUT", "SEAL", "UPLOAD", "COMMIT")
GUARANTEES = Path(__file__).parents[2] / "docs" / "reference" / "guarantees.md"


def record(result: FaultResult, kind: str) -> None:
    """Appends `result` to the file of this run, if one is wanted."""
    path = os.environ.get(RESULTS)
    if not path:
        return
    line = {
        "qdrant": kind,
        "fault": result.cell.fault.value,
        "phase": result.cell.phase.value,
        "verdict": result.verdict,
        "attempts": result.attempts,
        "took_s": round(result.took_s, 1),
        "fenced_s": round(result.fenced_s, 2),
        "failure": result.failure,
    }
    with Path(path).open("a") as file:
        file.write(json.dumps(line) + "\n")


def table(results: list[dict[str, Any]]) -> str:
    """The matrix in Markdown, with what it amounts to."""
    cells = {(one["fault"], one["phase"]): one for one in results}
    kinds = sorted({one["qdrant"] for one in cells.values()})
    lines = [_summary(list(cells.values()), kinds), ""]
    lines += [f"| fault | {' | '.join(PHASES)} |", f"|---|{'---|' * len(PHASES)}"]
    for fault in Fault:
        shown = [_shown(cells.get((fault.value, phase))) for phase in PHASES]
        lines.append(f"| {fault.value} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _summary(cells: list[dict[str, Any]], kinds: list[str]) -> str:
    counted = {name: sum(c["verdict"] == name for c in cells) for name in ("committed", "aborted")}
    wrong = len([cell for cell in cells if cell["verdict"].startswith("WRONG")])
    missed = len([cell for cell in cells if cell["verdict"] == "missed"])
    longest_s = max((cell["fenced_s"] for cell in cells), default=0.0)
    return (
        f"{len(cells)} cells on {' and '.join(kinds)}: {counted['committed']} committed, "
        f"{counted['aborted']} aborted clean, {wrong} wrong, {missed} missed their phase. "
        f"Budget 5 s; the longest that any peer showed a fence: {longest_s:.1f} s."
    )


def _shown(cell: dict[str, Any] | None) -> str:
    """`committed` with the number of the attempt that was, or what else came of it."""
    if cell is None:
        return "not run"
    if cell["verdict"] == "committed":
        return f"committed ({cell['attempts']}.)"
    return str(cell["verdict"].partition(":")[0])


def main(argv: list[str]) -> int:
    results = [json.loads(line) for line in Path(argv[1]).read_text().splitlines()]
    text = GUARANTEES.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    GUARANTEES.write_text(before + BEGIN + table(results) + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
