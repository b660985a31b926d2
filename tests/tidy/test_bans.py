"""What must not be written, because it was found to go wrong."""

from __future__ import annotations

import ast
import math
import re

import pytest

from tests.tidy.tree import GENERATED, files, programs, sources, text_of, tree_of

BLIND_ALLOWED = {
    "agent/cleancut_agent/supervisor.py": 1,  # a fault must not take Qdrant's pod out of service
    "cleancut/engine/shard.py": 1,  # the engine raises nothing more special
    "cleancut/rpc/interceptors.py": 2,  # the RPC border: unary calls and streams
    "simulation/loop.py": 1,  # callbacks of the event loop, in place of asyncio's own
}
IMPURE_IMPORTS = {"asyncio", "time", "os", "random", "logging", "threading", "socket", "secrets"}
MACHINE = re.compile(r"/(?:work|root|home/\w+|Users/\w+)/")
POLL_S = 0.25
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b|NotImplementedError")
TEXT = (".py", ".md", ".proto", ".toml", ".yaml", ".yml", ".sh", ".tpl", ".json", ".txt")
TEXT_NAMES = ("Makefile", ".ci/run", "Dockerfile.agent", "Dockerfile.coordinator", ".gitignore")
THIS = "tests/tidy/test_bans.py"


def texts() -> list[str]:
    """Files that people read."""
    return [
        path
        for path in files()
        if (path.endswith(TEXT) or path in TEXT_NAMES) and not path.startswith(GENERATED)
    ]


def blind_handlers(path: str) -> int:
    """How many handlers catch everything and do not raise it again."""
    return sum(
        _catches_everything(handler) and not _raises_again(handler)
        for handler in ast.walk(tree_of(path))
        if isinstance(handler, ast.ExceptHandler)
    )


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {part.id for part in ast.walk(handler.type) if isinstance(part, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_the_named_places_catch_everything() -> None:
    """A handler that swallows hides the bug that the next one dies of."""
    found = {path: count for path in sources() if (count := blind_handlers(path))}
    assert found == BLIND_ALLOWED


def imported(path: str) -> set[str]:
    """First names of all modules that a file imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_core_is_pure() -> None:
    """Modules under cleancut/core decide; clocks, disks and networks belong to other packages."""
    core = [path for path in programs() if path.startswith("cleancut/core/")]
    assert core
    assert {path: bad for path in core if (bad := imported(path) & IMPURE_IMPORTS)} == {}


def test_no_mocks_and_no_patched_code() -> None:
    """Fakes behave; mocks repeat what the author believed."""
    banned = re.compile(r"unittest\.mock|MagicMock|monkeypatch\.setattr|mocker\b")
    tests = [path for path in sources() if path.startswith("tests/") and path != THIS]
    assert [path for path in tests if banned.search(text_of(path))] == []


def guesses(path: str) -> list[str]:
    """Sleeps that are not the short pause of a loop that looks at something.

    A function called `sleep` is a clock: it does what its caller is asked about here.
    """
    tree = tree_of(path)
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.For)]
    clocks = [node for node in ast.walk(tree) if getattr(node, "name", "") == "sleep"]
    polls = {id(part) for loop in loops for part in ast.walk(loop)}
    exempt = {id(part) for clock in clocks for part in ast.walk(clock)}
    return [
        f"{path}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
        and id(node) not in exempt
        and (pause := _seconds(node.args[0], tree)) != 0
        and not (id(node) in polls and 0 < pause <= POLL_S)
    ]


def _seconds(argument: ast.expr, tree: ast.Module) -> float:
    """The pause, if it is a number or a constant of the module; else infinite."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(argument):
            argument = node.value
    known = isinstance(argument, ast.Constant) and isinstance(argument.value, int | float)
    return float(argument.value) if known else math.inf  # type: ignore[attr-defined]


def test_tests_wait_for_conditions_and_not_for_time() -> None:
    """A sleep outside a poll is a guess about somebody's speed."""
    tests = [path for path in sources() if path.startswith("tests/")]
    assert [place for path in tests for place in guesses(path)] == []


def test_nothing_is_left_for_later() -> None:
    assert [path for path in texts() if path != THIS and UNFINISHED.search(text_of(path))] == []


def test_no_path_of_somebodys_machine() -> None:
    assert [path for path in texts() if path != THIS and MACHINE.search(text_of(path))] == []


@pytest.mark.parametrize("path", ["LICENSE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_project_has(path: str) -> None:
    assert path in files()


def test_contributing_fits_on_two_screens() -> None:
    assert text_of("CONTRIBUTING.md").count("\n") <= 80


def test_architecture_can_be_read_in_one_go() -> None:
    assert text_of("ARCHITECTURE.md").count("\n") <= 200
