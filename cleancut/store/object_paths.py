"""Paths of objects: which ones are valid, and the refusal to overwrite one with other bytes."""

from __future__ import annotations

from cleancut.core.primitives.errors import Invalid, Refused

MAX_PATH_BYTES = 900


def check_path(path: str) -> str:
    """`path` if it is relative and clean. Raises: Invalid."""
    segments = path.split("/")
    if not path or any(s in {"", ".", ".."} or s.startswith(".tmp-") for s in segments):
        raise Invalid(f"{path[:200]!r} is not a valid object path")
    if len(path.encode()) > MAX_PATH_BYTES or not path.isprintable() or "\\" in path:
        raise Invalid(f"{path[:200]!r} is not a valid object path", "too long, or odd characters")
    return path


def check_prefix(prefix: str) -> str:
    """`prefix` if objects may start with it; the empty one names all. Raises: Invalid."""
    if prefix:
        check_path(prefix.removesuffix("/"))
    return prefix


def other_bytes(path: str) -> Refused:
    """The error for a put to a path that holds something else."""
    return Refused(
        f"{path} already holds other bytes, and objects are written once",
        "do two clusters use this store under one name? give each its own prefix",
        path=path,
    )
