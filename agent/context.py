"""What every part of an agent is given: its names, its ports, its places."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cleancut.ids import AgentName
from cleancut.io.ports import Clock, Coordination, Store
from cleancut.io.qdrant import Qdrant
from cleancut.io.uploads import Limits
from cleancut.keys import Keys, Paths


@dataclass(frozen=True, slots=True)
class Context:
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
    limits: Limits = field(default_factory=Limits)
