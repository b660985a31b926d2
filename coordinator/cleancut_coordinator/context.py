"""What every part of a coordinator is given: its names and its ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import GRACE_S
from cleancut.core.maintenance.retention import KEEP_EVERYTHING, Policy
from cleancut.core.maintenance.schedule import Schedules
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.fence import NO_SETTINGS, FenceSettings
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Coordination
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.store.key_source import NO_KEYS, KeySource


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`every_s` 0: only when it is asked for. `grace_s`: what is marked for deletion stays so long
    at least."""

    retention: Policy = KEEP_EVERYTHING
    grace_s: float = GRACE_S
    every_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class CoordinatorContext:
    """`peers`: the Qdrant URLs that it was given, tried in order; any one peer will do."""

    name: str
    store_url: str
    keys: Keys
    paths: Paths
    etcd: Coordination
    store: Store
    peers: tuple[Qdrant, ...]
    clock: Clock
    fences: FenceSettings = NO_SETTINGS
    gc: GcSettings = GcSettings()
    schedules: Schedules = field(default_factory=dict)
    key_source: KeySource = NO_KEYS
