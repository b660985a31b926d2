"""Compares the tar of a capture with a full stream of the same quiet shard, member by member: by
what a file holds once its holes are filled. The log and the clocks differ between any two streams.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from blake3 import blake3

from cleancut.runtime.concurrency import run_in_thread

PIECE_BYTES = 4 << 20
MOST_SHOWN = 5


async def save(chunks: AsyncIterator[bytes | memoryview], target: Path) -> None:
    with target.open("wb", buffering=PIECE_BYTES) as file:
        async for chunk in chunks:
            file.write(chunk)


async def differences(captured: Path, streamed: Path) -> list[str]:
    """What of two tars differs, in words; empty: nothing."""
    ours = await run_in_thread(partial(members_of, captured))
    theirs = await run_in_thread(partial(members_of, streamed))
    found = [f"{path} is only in the stream" for path in sorted(theirs.keys() - ours.keys())]
    found += [f"{path} is only in the capture" for path in sorted(ours.keys() - theirs.keys())]
    same = sorted(ours.keys() & theirs.keys())
    return found + [f"{path} differs" for path in same if ours[path] != theirs[path]]


def members_of(tar: Path) -> dict[str, tuple[int, str]]:
    """Size and digest of each file in it that must be equal."""
    found = {}
    with tarfile.open(tar, "r:") as archive:
        for member in archive:
            if not (member.isreg() or member.issparse()) or not _is_compared(member.name):
                continue
            file = archive.extractfile(member)
            assert file is not None, f"{member.name} of {tar} cannot be read"
            digest, size = blake3(), 0
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
            found[member.name] = size, digest.hexdigest()
    assert found, f"{tar} holds no file"
    return found


def _is_compared(path: str) -> bool:
    return not path.startswith("wal/") and "clocks" not in path.rsplit("/", 1)[-1]
