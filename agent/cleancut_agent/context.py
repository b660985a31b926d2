"""Context of an agent: its names, ports and directories, and where it gets randomness from."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.data.shard_runner import OpenShard, run_shard
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Coordination
from cleancut.ports.store import Store
from cleancut.ports.wal_dir import WalStorage
from cleancut.qdrant.client import Qdrant
from cleancut.repository.packs.uploads import UploadLimits
from cleancut.runtime.skipped_records import SkippedRecords
from cleancut_agent.capture.local_capture import LocalCapture


def free_disk_bytes(directory: Path) -> int:
    """Free bytes of the disk that holds `directory`. Raises: OSError."""
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class AgentContext:
    """Everything an agent takes from outside; a simulation replaces each of them.

    `loopback`: the base URL at which the local Qdrant reaches this agent, without a trailing slash.
    `qdrant_storage`: the data directory of the local peer, if this agent can see it; `wal`: the
    logs of its shards in there; `capture`: their segments. `limits`: the current upload limits.
    `token_hex`: a random string of N bytes. `free_disk_bytes`: free bytes of the disk that holds a
    directory. `store_bound_s`: of a small call to the store. `stores`: names of further stores that
    backups can be restored from. `engine`: why shards of a backup cannot be opened in this process,
    as in its session; `open_shard`: opens one. `release_segments`: lets go of what is held of logs
    since the process started.
    """

    name: AgentName
    keys: Keys
    paths: Paths
    etcd: Coordination
    store: Store
    qdrant: Qdrant
    clock: Clock
    spill_dir: Path
    loopback: str
    qdrant_storage: Path | None = None
    wal: WalStorage | None = None
    capture: LocalCapture | None = None
    limits: UploadLimits = field(default_factory=UploadLimits)
    token_hex: Callable[[int], str] = secrets.token_hex
    free_disk_bytes: Callable[[Path], int] = free_disk_bytes
    store_bound_s: float = 15.0
    stores: tuple[str, ...] = ()
    engine: str | None = None
    open_shard: OpenShard = run_shard
    skipped: SkippedRecords = field(default_factory=SkippedRecords)
    release_segments: Callable[[], None] = lambda: None
