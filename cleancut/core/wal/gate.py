"""Gate: whether an agent may read the logs of its local peer's shards, and if not, why.

Pure: what was found on the disk comes in as facts.
Source: D15
"""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import PeerId, parse_version
from cleancut.core.wal.framing import seed_of

OLDEST_LOGS = (1, 17, 1)
NEWEST_LOGS = (1, 19)
"""The minor versions of Qdrant whose logs were read and replayed by our tests."""
LOCAL_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay"})
"""All processes of a machine see the same pages of a file there."""


@dataclass(frozen=True, slots=True)
class WalFacts:
    """What an agent finds in `storage`, its peer's data directory as it sees it.

    `problem`: why it cannot be read. `file_system`: its type. `peer_id`: whose data it is; None: it
    does not say. `shards`: replicas that were looked at; `without_log`: one of them, if none has a
    log.
    `heads`: the first bytes of their segments.
    """

    storage: str = ""
    problem: str = ""
    file_system: str = ""
    peer_id: PeerId | None = None
    shards: int = 0
    without_log: str = ""
    heads: tuple[bytes, ...] = ()


def wal_gate(facts: WalFacts, qdrant_version: str, peer_id: PeerId) -> str:
    """Why the logs of this peer cannot be followed; empty: they can."""
    unseen = unseen_storage(facts, peer_id)
    if unseen:
        return unseen
    if facts.file_system not in LOCAL_FILE_SYSTEMS:
        return (
            f"Qdrant's storage {facts.storage} lies on file system"
            f" {facts.file_system or 'unknown'!r}; logs are read on local ones only"
        )
    untested = untested_version("logs", qdrant_version, OLDEST_LOGS, NEWEST_LOGS)
    if untested:
        return untested
    if facts.without_log:
        return f"{facts.without_log} holds no log: is {facts.storage} its peer's data directory?"
    return _framing(facts.heads)


def unseen_storage(facts: WalFacts, peer_id: PeerId) -> str:
    """Why the agent does not see this peer's data directory; empty: it does. `peer_id`: the id in
    that directory; 0: of a Qdrant without cluster mode that has no collection yet."""
    if not facts.storage:
        return "the agent does not see Qdrant's storage: set --qdrant-storage"
    if facts.problem:
        return f"Qdrant's storage {facts.storage} cannot be read: {facts.problem}"
    if not peer_id and facts.shards:
        return f"{facts.storage} holds shards, and this Qdrant has no collection"
    if peer_id and facts.peer_id is None:
        return f"{facts.storage} does not tell whose it is: its raft_state.json cannot be read"
    if facts.peer_id != peer_id and peer_id:
        return f"{facts.storage} is the storage of peer {facts.peer_id}, not of peer {peer_id}"
    return ""


def untested_version(
    what: str, qdrant_version: str, oldest: tuple[int, ...], newest: tuple[int, ...]
) -> str:
    """Why `what` of this Qdrant is not relied upon; empty: its minor version is tested."""
    version = parse_version(qdrant_version)
    if version < oldest or version[:2] > newest:
        first, last = (".".join(map(str, one)) for one in (oldest, newest))
        return f"{what} of Qdrant {qdrant_version} are not tested: {first} to {last} are"
    return ""


def _framing(heads: tuple[bytes, ...]) -> str:
    try:
        for head in heads:
            seed_of(head)
    except Corrupt as error:
        return error.message
    return ""
