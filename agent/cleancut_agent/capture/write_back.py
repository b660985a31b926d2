"""Write-back of a file's dirty pages: after it, the next store to each of them moves its mtime.

It changes nothing in the file, and needs neither the right to write nor a mount for writing.
Source: sync_file_range(2); D19
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_WAIT_BEFORE_WRITE_WAIT_AFTER = 1 | 2 | 4
_LOOKED_AT = 200


def _call() -> Callable[[int], int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return lambda handle: int(function(handle, 0, 0, _WAIT_BEFORE_WRITE_WAIT_AFTER))


_sync_file_range = _call()


def write_back(handle: int) -> None:
    """Waits until all pages of the file that were dirty are written. Raises: OSError.

    The lock of Python is free meanwhile.
    """
    if _sync_file_range is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _sync_file_range(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_back_problem(directory: Path, attempt: Callable[[int], None] = write_back) -> str:
    """Why files below `directory` cannot be written back by this process; empty: they can, or no
    file is there to try it on."""
    for file in _files(directory):
        try:
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            attempt(handle)
        except OSError as error:
            return error.strerror or str(error)
        finally:
            os.close(handle)
        return ""
    return ""


def _files(directory: Path) -> Iterator[Path]:
    """A few regular files below it."""
    looked_at = 0
    for base, _, names in os.walk(directory):
        for name in names:
            looked_at += 1
            if looked_at > _LOOKED_AT:
                return
            yield Path(base) / name
