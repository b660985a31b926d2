"""Who may import whom, and what is there to be imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.tidy.tree import ROOT, sources, tree_of

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


OPERATOR = re.compile(
    r"cleancut_operator|cleancut\.(api|client|core|ports|runtime)\b|cleancut\.daemon_settings|cleancut\.page\.words"
)


def test_the_operator_is_a_client_of_the_api_and_touches_nothing_else() -> None:
    """No store, no etcd, no Qdrant; and one module alone knows kopf, so that without it the others
    can be imported."""
    for path in (one for one in sources() if one.startswith("operator/")):
        for node in ast.walk(tree_of(path)):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [module]
            for name in names:
                assert not name.startswith("cleancut.") or OPERATOR.match(name), (path, name)
                assert name != "kopf" or path.endswith("/watch.py"), path


def test_what_tests_take_from_each_other_is_there() -> None:
    """Those that need processes are not run by the quick gate, and must be able to start at all."""
    for path in (one for one in sources() if one.startswith("tests/")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
                taken = {one.name for one in node.names}
                missing = taken - _offered(str(node.module).replace(".", "/"))
                assert not missing, f"{path} takes {missing} from {node.module}"


def _offered(module: str) -> set[str]:
    """What stands at the top of a module, or the modules of a package."""
    if (ROOT / module).is_dir():
        return {path.stem for path in (ROOT / module).glob("*.py")}
    names: set[str] = set()
    for node in tree_of(f"{module}.py").body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names.update((one.asname or one.name).split(".")[0] for one in node.names)
            case ast.Assign() | ast.AnnAssign():
                names.update(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
            case _:
                pass
    return names
