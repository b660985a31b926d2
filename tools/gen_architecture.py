"""Generator of generated parts: ARCHITECTURE.md's layers and packages, and the state diagrams."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from cleancut.core.backup import phases
from cleancut.core.protocol.states import Phase
from cleancut.core.rebalance import phases as rebalance_phases
from cleancut.core.reshard import phases as reshard_phases
from cleancut.core.restore import phases as restore_phases
from cleancut.core.undelete import phases as undelete_phases

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
MACHINES = ROOT / "docs/reference/state-machines.md"
FOLDERS = ("cleancut", "agent", "coordinator", "solo", "operator", "devcluster")
GENERATED = ("cleancut/v1/", "cleancut/etcd/pb/")
CLOSED = ("devcluster/cleancut_devcluster/", "cleancut/repository/")
"""Packages whose inner ones are left out: their own line says what they hold."""
DRAWN = ("programs", "cleancut", "cleancut.core")
"""Whose layers the picture shows; the programs have contracts of their own."""
FAILURES = (Phase.ROLLBACK, Phase.ABORT)
SEED_WAYS = {
    way: f"a seed, {cause}"
    for way, cause in phases.SEED_TRANSITIONS.items()
    if way not in phases.TRANSITIONS
}
TABLES = (
    ("Backup, and seed", {**phases.TRANSITIONS, **SEED_WAYS}),
    ("Restore", restore_phases.TRANSITIONS),
    ("Rebalance", rebalance_phases.TRANSITIONS),
    ("Reshard", reshard_phases.TRANSITIONS),
    ("Undelete", undelete_phases.TRANSITIONS),
)


def layers() -> str:
    """The layer contracts of pyproject.toml as a picture, the highest layer first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = []
    for contract in settings["tool"]["importlinter"]["contracts"]:
        (where,) = contract.get("containers", ["programs"])
        if contract["type"] != "layers" or where not in DRAWN:
            continue
        for number, layer in enumerate(contract["layers"]):
            lines.append(f"{where if number == 0 else '':<14} {layer}")
    return "\n".join(["```", *lines, "```"]) + "\n"


def packages() -> str:
    """A row for each package, with the first line of its docstring."""
    rows = []
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("__init__.py")):
            path = f"{file.parent.relative_to(ROOT)}/"
            inner = any(path.startswith(one) and path != one for one in CLOSED)
            if not inner and not path.startswith(GENERATED):
                text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
                rows.append(f"| `{path}` | {text.partition(chr(10))[0]} |")
    return "\n".join(["| package | contents |", "|---|---|", *rows]) + "\n"


def diagram(table: Mapping[tuple[Phase, Phase], str]) -> str:
    """One mermaid state diagram, in the table's order, and a line for each way to fail.
    A semicolon would end mermaid's line; ABORT begins an operation as IDLE does."""
    again = {after for before, after in table if before == Phase.ABORT}
    assert again == {after for before, after in table if before == Phase.IDLE}
    ways = [
        f"  {before} --> {after}: {cause.replace(';', ',')}"
        for (before, after), cause in table.items()
        if after not in FAILURES and before != Phase.ABORT
    ]
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {Phase.IDLE}", *ways, "```"]
    failing = []
    for end in FAILURES:
        causes = [f"{before} ({cause})" for (before, after), cause in table.items() if after == end]
        failing += [f"To {end} from {', '.join(causes)}."] if causes else []
    lines += ["", " ".join(failing)]
    return "\n".join(lines)


def diagrams() -> str:
    """The state diagram of each machine, under its name."""
    return "\n\n".join(f"{name}:\n{diagram(table)}" for name, table in TABLES) + "\n"


PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    PAGE: {"layers": layers, "packages": packages},
    MACHINES: {"transitions": diagrams},
}


def filled(path: Path) -> str:
    """The page with each generated part between its markers `<!-- NAME:begin -->` and `:end`."""
    page = path.read_text(encoding="utf-8")
    for name, part in PARTS[path].items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{path.name} lacks the markers of {name!r}")
        page = before + begin + part() + end + after
    return page


if __name__ == "__main__":
    texts = {path: filled(path) for path in PARTS}
    if sys.argv[1:] == ["--check"]:
        sys.exit(any(text != path.read_text(encoding="utf-8") for path, text in texts.items()))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
