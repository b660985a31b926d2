"""What every part of a coordinator is given: its names and its ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from cleancut.fence import NO_SETTINGS, FenceSettings
from cleancut.garbage import GRACE_S
from cleancut.io.key_source import NO_KEYS, KeySource
from cleancut.io.ports import Clock, Coordination, Store
from cleancut.io.qdrant import Qdrant
from cleancut.keys import Keys, Paths
from cleancut.retention import KEEP_EVERYTHING, Policy
from cleancut.schedule import Schedules


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """`every_s` 0: only when it is asked for. `grace_s`: what is doomed stays so long at least."""

    retention: Policy = KEEP_EVERYTHING
    grace_s: float = GRACE_S
    every_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Context:
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
    sweeps: SweepSettings = SweepSettings()
    schedules: Schedules = field(default_factory=dict)
    key_source: KeySource = NO_KEYS
