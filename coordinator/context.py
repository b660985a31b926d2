"""What every part of a coordinator is given: its names and its ports."""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.fence import NO_SETTINGS, FenceSettings
from cleancut.io.ports import Clock, Coordination, Store
from cleancut.io.qdrant import Qdrant
from cleancut.keys import Keys, Paths


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
