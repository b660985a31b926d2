"""Output of an export: a new file that appears whole or not at all, or stdout."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cleancut.core.primitives.errors import CleancutError, Refused

STDOUT = Path("-")


def check_target(target: Path) -> None:
    """Raises: Refused, if `target` exists, its folder does not, or no file can have that name."""
    if target == STDOUT:
        return
    try:
        exists = target.exists() or target.is_symlink()
        in_folder = target.parent.is_dir()
    except OSError as error:
        raise unwritable(target, error) from error
    if exists:
        raise Refused(f"{target} exists", "choose a new file; files are never overwritten")
    if not in_folder:
        raise Refused(f"the folder {target.parent} does not exist", "make it, or choose another")


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A file next to `target`, which becomes `target` at the end; without an end it is removed.

    Raises: Refused, if it cannot be written, or `target` exists by then.
    """
    name = ""
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            name = file.name
        yield Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.link(name, target)  # unlike a rename, it never replaces
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        with suppress(OSError):
            os.unlink(name)


def unwritable(target: Path, error: OSError) -> Refused:
    """What to say of a write that failed."""
    return Refused(
        f"cannot write {target}: {error.strerror or error}", "check its folder and its space"
    )


@contextmanager
def writes_stdout() -> Iterator[BinaryIO]:
    """Stdout as a file of bytes. Raises: CleancutError, if it is closed or cannot be written."""
    if sys.stdout is None:
        raise CleancutError("stdout is closed", "redirect stdout to a file")
    try:
        yield sys.stdout.buffer
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)  # for the last flush of the interpreter
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        raise CleancutError(
            f"cannot write to stdout: {error.strerror or error}; what was written is not complete",
            "its reader has ended, or its disk is full; run the command again",
        ) from error
