"""Nothing grows past what one sitting can read."""

from __future__ import annotations

import ast
import statistics

from tests.tidy.tree import programs, sources, text_of, tree_of

FILE_LINES, MEDIAN_LINES, FUNCTION_LINES, POSITIONAL = 500, 150, 60, 4
KNOWN_WIDE = {
    "simulation/trace.py:applied",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: str) -> list[tuple[str, Function, bool]]:
    """Each function with where it stands, and whether it is a method."""
    found = []
    for node in ast.walk(tree_of(path)):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                where = f"{path}:{child.lineno} {child.name}"
                found.append((where, child, isinstance(node, ast.ClassDef)))
    return found


def positional(function: Function, *, method: bool) -> int:
    """Arguments that a caller may give by position; self and cls are not given."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    static = any(
        isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list
    )
    return len(names) - (1 if method and not static and names else 0)


def is_command(function: Function) -> bool:
    """True for functions that click calls, by keyword: their arguments are flags."""
    return any(
        isinstance(part, ast.Attribute) and part.attr in {"command", "group"}
        for decorator in function.decorator_list
        for part in ast.walk(decorator)
    )


def is_test(path: str, function: Function) -> bool:
    """True for functions that pytest calls, by keyword."""
    return path.startswith("tests/") and (
        function.name.startswith("test_") or "fixture" in ast.dump(function)[:2000]
    )


def test_files_stay_short() -> None:
    long = {p: lines for p in sources() if (lines := text_of(p).count("\n")) > FILE_LINES}
    assert long == {}


def test_the_median_file_is_read_at_a_glance() -> None:
    """Files of the programs, without tests: a limit alone would let all files grow up to it."""
    lengths = [text_of(path).count("\n") for path in programs()]
    assert statistics.median(lengths) <= MEDIAN_LINES


def test_functions_stay_short() -> None:
    long = {
        where: lines
        for path in sources()
        for where, function, _ in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_calls_stay_readable() -> None:
    """At most four arguments without a name; the known exceptions may only become fewer."""
    wide = {
        where.split(":")[0] + ":" + function.name
        for path in sources()
        for where, function, method in functions(path)
        if not is_command(function)
        and not is_test(path, function)
        and positional(function, method=method) > POSITIONAL
    }
    assert wide == KNOWN_WIDE
