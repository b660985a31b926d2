"""ARCHITECTURE.md shows the machines as they are."""

from __future__ import annotations

import subprocess
import sys

from tests.tidy.tree import ROOT, text_of

BEGIN, END = "<!-- transitions:begin -->\n", "<!-- transitions:end -->"


def test_the_diagrams_are_those_of_the_tables() -> None:
    """What stands between the markers is what tools/diagram.py prints today."""
    command = [sys.executable, "-m", "tools.diagram"]
    printed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    shown = text_of("ARCHITECTURE.md").partition(BEGIN)[2].partition(END)[0]
    assert shown == printed, "run: python -m tools.diagram, and put it between the markers"
