"""Audit of a capture from the disk: its members against those that Qdrant streams afterwards of the
same state of the shard.

Pure: digests come in, of files with their holes filled. The log and the clocks differ between any
two streams; lists of files are in partial ones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cleancut.core.capture.request import SEGMENT_MANIFEST

MOST_SHOWN = 3


class MemberDigest(NamedTuple):
    """Of a file of `size_bytes` with its holes filled."""

    size_bytes: int
    digest: str


class Comparison(NamedTuple):
    """`skipped`: why nothing was compared; "": it was. `differences`: in words."""

    skipped: str = ""
    differences: tuple[str, ...] = ()

    def in_words(self) -> str:
        """The first few differences."""
        more = len(self.differences) - MOST_SHOWN
        shown = "; ".join(self.differences[:MOST_SHOWN])
        return shown + (f" and {more} more" if more > 0 else "")


def compare(
    captured: Mapping[str, MemberDigest], streamed: Mapping[str, MemberDigest]
) -> Comparison:
    """What two tars of one shard do not have in common. Order: nothing was written in between."""
    ours, theirs = _compared(captured), _compared(streamed)
    if _segments(ours) != _segments(theirs):
        return Comparison("an optimizer has exchanged segments since it was captured")
    found = [f"{path} is only in the stream" for path in sorted(theirs.keys() - ours.keys())]
    found += [f"{path} is only in the capture" for path in sorted(ours.keys() - theirs.keys())]
    same = sorted(ours.keys() & theirs.keys())
    found += [f"{path} differs" for path in same if ours[path] != theirs[path]]
    return Comparison(differences=tuple(found))


def _compared(members: Mapping[str, MemberDigest]) -> dict[str, MemberDigest]:
    return {path: one for path, one in members.items() if _is_compared(path)}


def _is_compared(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return not path.startswith("wal/") and "clocks" not in name and name != SEGMENT_MANIFEST


def _segments(members: Mapping[str, MemberDigest]) -> set[str]:
    return {path.split("/", 2)[1] for path in members if path.startswith("segments/")}
