"""docs/packages.md shows every package with the line that the package says of itself."""

from __future__ import annotations

import ast

from tests.tidy.tree import GENERATED, programs, text_of, tree_of

FOLDERS = ("cleancut/", "agent/", "coordinator/", "devcluster/")


def packages() -> dict[str, str]:
    """The folder of each package, with the first line of its docstring."""
    return {
        path.removesuffix("__init__.py"): (ast.get_docstring(tree_of(path)) or "").split("\n")[0]
        for path in programs()
        if path.endswith("/__init__.py")
        and path.startswith(FOLDERS)
        and not path.startswith(GENERATED)
    }


def test_every_package_is_in_the_table() -> None:
    page = text_of("docs/packages.md")
    assert packages()
    assert [path for path, says in packages().items() if f"| `{path}` | {says} |" not in page] == []
