"""Proof that a segment file holds at the cut what it held before the request, by the states that
`fstat` reports of it.

Pure: states and times come in. Between `before` and `after` the dirty pages of the file are written
back, so that the next store to any page of it faults and moves its mtime; an equal state after the
cut says that no store was made in between.
Source: D19
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

SETTLED_NS = 30 * 10**9
"""How long ago a file's times have to lie: more than the tick of any file system's clock (two
changes within one tick look the same), more than a write that has set the time but not yet copied
its bytes, and enough that a file which is written every few seconds is streamed at once."""
SLEWED_NS = 10**9
"""A clock that was set back by no more does not make a file look settled that is not."""
SMALL_BYTES = 64 << 10
"""Below that a file costs less in the stream than its proof."""
SMALL_APPENDABLE_BYTES = 8 << 20
"""The same in a segment that takes writes: its small files are those that the next write hits."""
FLUSHED_NAMES = frozenset(
    {
        "bitmask.dat",
        "deleted.bin",
        "deleted.dat",
        "flags_a.dat",
        "flags_b.dat",
        "gaps.dat",
        "id_tracker.deleted",
        "id_tracker.versions",
        "status.dat",
        "tracker.dat",
    }
)
"""Files that Qdrant keeps in memory and writes in a flush, so also at the cut itself."""
APPENDABLE_PREFIX = "mutable_id_tracker"
"""Begins the names of files that only a segment that takes writes has."""
ALWAYS_SENT = frozenset({"segment.json", "version.info"})
"""Qdrant sends these whatever the request leaves out."""


class Way(Enum):
    """KEEP: as in the parent, unread. DIRECT: read from the disk. STREAM: sent by Qdrant."""

    KEEP = "keep"
    DIRECT = "direct"
    STREAM = "stream"


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """A file at one moment, as `fstat` reports it."""

    device: int
    inode: int
    size_bytes: int
    allocated_bytes: int
    mtime_ns: int
    ctime_ns: int
    links: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode

    def is_as(self, other: FileState) -> bool:
        """Whether nothing has changed in the file or its inode between the two."""
        return self.has_content_of(other) and self.ctime_ns == other.ctime_ns

    def has_content_of(self, other: FileState) -> bool:
        """Whether it is the same file and its bytes have not changed between the two."""
        return (self.identity, self.size_bytes, self.mtime_ns) == (
            other.identity,
            other.size_bytes,
            other.mtime_ns,
        )

    @property
    def worth_bytes(self) -> int:
        """What leaving it out saves: holes are not sent."""
        return min(self.size_bytes, self.allocated_bytes)


class Choice(NamedTuple):
    """`reason`: why the file is streamed, in the words of a log; empty otherwise."""

    way: Way
    reason: str = ""


def unfit(path: str, size_bytes: int, *, appendable: bool) -> str:
    """Why a file is streamed by its name and size alone; empty: nothing speaks against it yet."""
    name = path.rsplit("/", 1)[-1]
    if name in ALWAYS_SENT or name in FLUSHED_NAMES or name.startswith(APPENDABLE_PREFIX):
        return "a flush writes it"
    if size_bytes < SMALL_BYTES:
        return "small"
    if appendable and size_bytes < SMALL_APPENDABLE_BYTES:
        return "small, in a segment that takes writes"
    return ""


def classify(
    path: str,
    before: FileState,
    after: FileState,
    *,
    now_ns: int,
    appendable: bool,
    recorded: FileState | None,
) -> Choice:
    """Which way the file at `path` is captured. `before`, `after`: its states on both sides of the
    write-back; `recorded`: its state when the parent was captured.

    Unit: `now_ns` is of the clock that sets the files' times.
    """
    reason = unfit(path, after.worth_bytes, appendable=appendable) or _unsettled(
        before, after, now_ns
    )
    if reason:
        return Choice(Way.STREAM, reason)
    if recorded is not None and after.is_as(recorded):
        return Choice(Way.KEEP)
    return Choice(Way.DIRECT)


def _unsettled(before: FileState, after: FileState, now_ns: int) -> str:
    if not after.links:
        return "removed"
    if not before.is_as(after):
        return "written to"
    age_ns = now_ns - max(after.mtime_ns, after.ctime_ns)
    if age_ns < 0:
        return "its times lie in the future"
    return "" if age_ns >= SETTLED_NS else "changed a moment ago"


def was_set_back(before_ns: int, after_ns: int, passed_ns: int) -> bool:
    """Whether the clock of the files' times went back between two looks at it, `passed_ns` apart on
    a clock that never does. A clock that is slewed loses less."""
    return after_ns - before_ns < passed_ns * 0.99 - SLEWED_NS


def difference(
    after: FileState,
    later: FileState | None,
    *,
    at_path: tuple[int, int] | None,
    confirmed: bool = False,
) -> str:
    """Why the content at the cut is not proven to be that of `after`; empty: it is.

    `later`: its state since the cut, of the open file or of the one at its path; None: neither is
    there. `at_path`: what its path leads to since then. `confirmed`: an earlier call since the cut
    found no difference, so that its name does not matter any more. Without that, a removed file is
    never proven: its directory may have been renamed away before the cut and removed after it.
    """
    if later is None or not later.has_content_of(after):
        return "written to since the request" if later else "gone"
    if not later.links:
        return "" if confirmed else "removed since the request"
    if later.ctime_ns != after.ctime_ns:
        return "its inode has changed since the request"
    if not confirmed and at_path != after.identity:
        return "its path leads to another file" if at_path else "its path leads nowhere"
    return ""
