"""What the command line costs to start: CPU of the whole process against that of a bare Python.

Help, `--version` and completion are to cost at most 4 times as much. Rounds alternate between the
programs, and the least of each counts, so other load of the machine cancels out for the most part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measuring import measure

LIMIT = 4.0
BARE: tuple[str, ...] = (sys.executable, "-c", "pass")
_PROGRAM = (sys.executable, "-c", "from cleancut.cli.main import main; main()")
_TAB = {"_CLEANCUT_COMPLETE": "bash_complete"}
STARTS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "cleancut --version": (("--version",), {}),
    "cleancut --help": (("--help",), {}),
    "cleancut backup --help": (("backup", "--help"), {}),
    "cleancut backup list --help": (("backup", "list", "--help"), {}),
    "cleancut restore start --help": (("restore", "start", "--help"), {}),
    "TAB after `cleancut ba`": ((), {**_TAB, "COMP_WORDS": "cleancut ba", "COMP_CWORD": "1"}),
    "TAB after `cleancut backup list --`": (
        (),
        {**_TAB, "COMP_WORDS": "cleancut backup list --", "COMP_CWORD": "3"},
    ),
}


def ratios(rounds: int) -> dict[str, Any]:
    """CPU seconds of each start, and their ratio to the bare interpreter's."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        compiled = {"PYTHONPYCACHEPREFIX": str(where / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        commands = {"python -c pass": (BARE, compiled)}
        for name, (words, more) in STARTS.items():
            commands[name] = ((*_PROGRAM, *words), {**compiled, **more})
        _all(commands, where)  # compiles what is imported
        taken = [_all(commands, where) for _ in range(rounds)]
    least = {name: min(each[name] for each in taken) for name in commands}
    bare = least["python -c pass"]
    return {
        name: {"cpu_s": round(cpu_s, 4), "ratio": round(cpu_s / bare, 2)}
        for name, cpu_s in least.items()
    }


def _all(
    commands: Mapping[str, tuple[Sequence[str], dict[str, str]]], where: Path
) -> dict[str, float]:
    return {
        name: measure(list(words), environment, where).cpu_s
        for name, (words, environment) in commands.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("CLEANCUT_")]:
        del os.environ[name]
    found = ratios(given.rounds)
    for name, row in found.items():
        print(f"{name:38}{row['cpu_s']:8.3f} s{row['ratio']:8.1f} x")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(any(row["ratio"] > LIMIT for row in found.values()))


if __name__ == "__main__":
    main()
