"""Context of a coordinator: its names, its ports and its settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import GRACE_S
from cleancut.core.maintenance.notify_rules import Notify
from cleancut.core.maintenance.retention import KEEP_EVERYTHING, Policy
from cleancut.core.maintenance.schedule import Schedules
from cleancut.core.maintenance.stores import StoreRule
from cleancut.core.maintenance.stories import KEPT_S
from cleancut.core.primitives.errors import NotFound
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Bounds
from cleancut.core.protocol.fence import NO_SETTINGS, FenceSettings
from cleancut.fencing.hooks import CallHook, call_hook
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import Coordination
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.repository.archive.bases import BaseReader
from cleancut.repository.catalog_reader import CatalogReader
from cleancut.repository.known_history import KnownHistory
from cleancut.runtime.skipped_records import SkippedRecords
from cleancut.store.key_source import NO_KEYS, KeySource


@dataclass(frozen=True, slots=True)
class GcSettings:
    """`every_s` 0: only when it is asked for. `grace_s`: what is marked for deletion stays so long
    at least. `stories_s`: how long stories of operations stay in the store."""

    retention: Policy = KEEP_EVERYTHING
    grace_s: float = GRACE_S
    every_s: float = 3600.0
    stories_s: float = KEPT_S


@dataclass(frozen=True, slots=True)
class CopyStore:
    """A store of the file, by its name: where backups are copied to. `keys`: that open it."""

    rule: StoreRule
    store: Store
    keys: KeySource = NO_KEYS


@dataclass(frozen=True, slots=True)
class CoordinatorContext:
    """Everything a coordinator takes from outside; a simulation replaces each of them.

    `peers`: the configured Qdrant peers, tried in order; any one of them will do. `token_hex`: a
    random string of N bytes. `call_hook`: pauses or resumes a writer.
    `file_schedules`: those of the settings file; `read_schedules` gives all.
    `stores`: those that backups are copied to, by name. `notify`: targets of notifications.
    `api_open`: everyone who reaches the API over a network may do everything. `alone`:
    its etcd is embedded in this process, so that no other coordinator can stand by. `bases`,
    `catalog`, `history`: read once for all who need them.
    """

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
    bounds: Bounds = field(default_factory=Bounds)
    file_schedules: Schedules = field(default_factory=dict)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    key_source: KeySource = NO_KEYS
    stores: Mapping[str, CopyStore] = field(default_factory=dict)
    notify: Notify = field(default_factory=dict)
    token_hex: Callable[[int], str] = secrets.token_hex
    call_hook: CallHook = call_hook
    api_open: bool = False
    alone: bool = False
    skipped: SkippedRecords = field(default_factory=SkippedRecords)
    bases: BaseReader = field(init=False)
    catalog: CatalogReader = field(init=False)
    history: KnownHistory = field(init=False)

    def store_of(self, name: str) -> Store:
        """The store of that name in the settings; "" is the main one. Raises: NotFound."""
        if not name:
            return self.store
        if name not in self.stores:
            raise NotFound(
                f"there is no store {name!r} in the settings of this coordinator",
                f"configured: {', '.join(sorted(self.stores)) or 'none'}; see [store.NAME]",
            )
        return self.stores[name].store

    def __post_init__(self) -> None:
        object.__setattr__(self, "bases", BaseReader(self.store, self.paths))
        object.__setattr__(self, "catalog", CatalogReader(self.store, self.paths))
        history = KnownHistory(self.store, self.paths, self.clock)
        object.__setattr__(self, "history", history)
