"""Gate: whether an agent may capture the segments of its local peer from the disk, and if not, why.

Pure: what was found on the disk comes in as facts.
Source: D19
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.gate import WalFacts, unseen_storage, untested_version

OLDEST_DIRECT = (1, 17, 1)
NEWEST_DIRECT = (1, 19)
"""The minor versions of Qdrant whose partial snapshots are tested."""
PROVING_FILE_SYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
"""A store to a page that was written back faults there, and moves the file's mtime: measured. On
overlay and tmpfs it does not; on FUSE and network file systems another kernel may be writing."""
OLDEST_KERNEL = (5, 4)
"""Before 5.2, `sync_file_range` may pass over dirty pages that are locked just then."""
_UNPROVEN_OPTION = re.compile(r"dax(=(always|inode))?|data=journal")
"""Mount options under which pages are not written back in the way that was measured."""


@dataclass(frozen=True, slots=True)
class MountFacts:
    """Where a directory lies. `mount_id`: -1 is unknown. `options`: of the mount and its file
    system."""

    device: int = 0
    mount_id: int = -1
    file_system: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What an agent finds. `kernel`: its release. `write_back`: why pages cannot be written back
    from here; empty: they can."""

    storage: WalFacts
    mount: MountFacts = MountFacts()
    kernel: str = ""
    write_back: str = ""


def capture_gate(facts: CaptureFacts, qdrant_version: str, peer_id: PeerId) -> str:
    """Why segments of this peer are captured by Qdrant's stream alone; empty: not alone."""
    return (
        unseen_storage(facts.storage, peer_id)
        or mount_gate(facts.mount)
        or _kernel(facts.kernel)
        or untested_version("partial snapshots", qdrant_version, OLDEST_DIRECT, NEWEST_DIRECT)
        or (facts.write_back and f"pages cannot be written back: {facts.write_back}")
    )


def mount_gate(mount: MountFacts) -> str:
    """Why an equal state of a file proves nothing on this mount; empty: it does."""
    if mount.file_system not in PROVING_FILE_SYSTEMS:
        return (
            f"Qdrant's storage lies on file system {mount.file_system or 'unknown'!r};"
            f" files are captured from {', '.join(sorted(PROVING_FILE_SYSTEMS))}"
        )
    for option in mount.options:
        if _UNPROVEN_OPTION.fullmatch(option):
            return f"Qdrant's storage is mounted with {option}, for which nothing is proven"
    return "" if mount.mount_id >= 0 else "the mount of Qdrant's storage cannot be identified"


def _kernel(release: str) -> str:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_KERNEL:
        return ""
    oldest = ".".join(map(str, OLDEST_KERNEL))
    return f"kernel {release or 'unknown'} is older than {oldest}, the oldest that proves it"
