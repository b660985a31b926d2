"""Page cache of open files: what of them is in it, so that reads of cold files leave nothing there.

Source: cachestat(2), Linux 6.5; where it is missing nothing is known, and all that is read stays.
"""

from __future__ import annotations

import ctypes
import os

_CACHESTAT = 451
"""The same number on every architecture that Linux has had since."""


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Found(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def cached_pages(handle: int, offset: int, length: int) -> int | None:
    """How many pages of the range are in the page cache; None: the kernel does not say."""
    asked, found = _Range(offset, length), _Found()
    answer = _syscall(
        ctypes.c_long(_CACHESTAT),
        ctypes.c_int(handle),
        ctypes.byref(asked),
        ctypes.byref(found),
        ctypes.c_uint(0),
    )
    return None if answer else int(found.cached)


def read_exactly(handle: int) -> None:
    """Reads by this handle bring in what they ask for, and nothing ahead of it. Raises: OSError."""
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)


def drop_pages(handle: int, offset: int, length: int) -> None:
    """The range leaves the page cache, but for pages that are mapped or dirty. Raises: OSError."""
    os.posix_fadvise(handle, offset, length, os.POSIX_FADV_DONTNEED)
