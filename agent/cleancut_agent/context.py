"""What every part of an agent is given: its names, its ports, its places."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Coordination
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.repository.uploads import UploadLimits


@dataclass(frozen=True, slots=True)
class AgentContext:
    """`loopback`: the base URL at which the own Qdrant reaches this agent, no slash at its end.
    `qdrant_storage`: where the own peer keeps its data, if this agent can see it. `limits`: as
    they are set now."""

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
    limits: UploadLimits = field(default_factory=UploadLimits)
