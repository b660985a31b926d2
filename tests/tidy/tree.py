"""The project's own files, as the tidy tests look at them."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("cleancut/v1/", "cleancut/etcd/pb/")
_IGNORED = {
    *(".git", ".venv", "build", "dist", "__pycache__", "out"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache"),
}


@cache
def files() -> tuple[str, ...]:
    """All files of the project, as paths from its root: what git would keep, if git is there."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
        return tuple(path for path in listed.stdout.splitlines() if (ROOT / path).is_file())
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.name in _IGNORED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield str(path.relative_to(ROOT))


def sources() -> list[str]:
    """Python files that people write."""
    return [path for path in files() if path.endswith(".py") and not path.startswith(GENERATED)]


def programs() -> list[str]:
    """Sources that are no tests."""
    return [path for path in sources() if not path.startswith("tests/")]


@cache
def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse(text_of(path), filename=path)
