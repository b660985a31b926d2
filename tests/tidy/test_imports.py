"""Who may import whom, and what the command line costs to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.tidy.tree import ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def test_the_contracts_of_import_linter_hold() -> None:
    """The ones in pyproject.toml: core, programs, processes."""
    done = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_command_line_does_not_load_what_it_does_not_need() -> None:
    """`cleancut version` is quick: no boto3, no aiohttp, no qdrant-client."""
    heavy = ("boto3", "aiohttp", "qdrant_client", "numpy")
    program = f"import cleancut.cli.main, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
