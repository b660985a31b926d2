"""A coordinator's metrics of what is in the store."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.core.doctor.protection import Protection
from cleancut.core.maintenance.inventory import Inventory, Newest, rank_of
from cleancut.runtime.prometheus import Meter

MAX_COLLECTIONS = 200
"""The most collections that have a series of their own: those that were backed up longest ago."""


class CatalogGauges:
    """Gauges of all that is in the store."""

    def __init__(self, meter: Meter) -> None:
        gauge = meter.gauge
        self._newest = _NewestGauges(meter)
        self._read = gauge(
            "cleancut_catalog_read_timestamp_seconds",
            "When the whole catalog was last read from the store, in seconds since 1970.",
        )
        self._groups = gauge(
            "cleancut_catalog_backups",
            "Backups in the store. corrupt: unreadable, or found damaged by the last verification"
            " or drill of it.",
            "state",
        )
        self.size = gauge(
            "cleancut_store_size_bytes",
            "All objects of the cluster in the store, in bytes; counted seldom if that takes long.",
        )
        self._collections = gauge(
            "cleancut_collection_last_success_timestamp_seconds",
            "Cut time of the newest good backup that holds a collection of the cluster, in seconds"
            f" since 1970; of the {MAX_COLLECTIONS} oldest.",
            "collection",
        )
        self._sizes = gauge(
            "cleancut_collection_size_bytes",
            "Shard tars of a collection of the cluster in the newest backup that holds it, in"
            f" bytes; of the {MAX_COLLECTIONS} largest.",
            "collection",
        )
        self._protected_bytes = gauge(
            "cleancut_catalog_protected_bytes",
            "Shard tars of all good backups, in bytes: what they would take as full copies.",
        )
        self._sizes_known: Mapping[str, int] = {}
        self._unprotected = gauge(
            "cleancut_unprotected_collections",
            "Collections that are not protected: none of their whole, undamaged backups is young"
            " enough for their schedule, or 26 hours without one; as `cleancut status` says.",
        )
        self._proven = gauge(
            "cleancut_last_verified_timestamp_seconds",
            "When a backup was last read again (verify) or opened and asked (drill) and all was"
            " well, in seconds since 1970.",
            "kind",
        )
        self.gc_interval = gauge(
            "cleancut_gc_interval_seconds",
            "Interval of automatic garbage collection, in seconds; absent if it is disabled.",
        )

    def show(self, stock: Inventory, proven: Mapping[str, float], now_s: float) -> None:
        self._read.show_one(now_s)
        self._groups.show([({"state": "good"}, stock.good), ({"state": "corrupt"}, stock.corrupt)])
        self._proven.show([({"kind": kind}, at_s) for kind, at_s in proven.items()])
        self._newest.show(stock.schedules)
        self._protected_bytes.show_one(stock.size_bytes)
        self._sizes_known = stock.sizes

    def show_collections(self, ages: Mapping[str, float | None] | None) -> None:
        held = [(at_s, name) for name, at_s in (ages or {}).items() if at_s is not None]
        oldest = sorted(held)[:MAX_COLLECTIONS]
        self._collections.show([({"collection": name}, at_s) for at_s, name in oldest])
        live = [(size, name) for name, size in self._sizes_known.items() if name in (ages or {})]
        largest = sorted(live, reverse=True)[:MAX_COLLECTIONS]
        self._sizes.show([({"collection": name}, size) for size, name in largest])

    def show_protection(self, judged: Protection) -> None:
        bad = [one for one in judged.collections if not one.protected and not one.excluded]
        self._unprotected.show_one(len(bad) if judged.known else None)


class _NewestGauges:
    """Gauges of the newest good backup of each schedule."""

    def __init__(self, meter: Meter) -> None:
        gauge, label = meter.gauge, "schedule"
        self._success = gauge(
            "cleancut_last_success_timestamp_seconds",
            "Cut time of a schedule's newest good backup in the store, in seconds since 1970;"
            " without schedule: of those made by hand.",
            label,
        )
        self._size = gauge(
            "cleancut_backup_size_bytes", "Shard tars of the newest good backup, in bytes.", label
        )
        self._usual = gauge(
            "cleancut_backup_usual_size_bytes",
            "Median size in bytes of up to seven good backups before the newest.",
            label,
        )
        self._stored = gauge(
            "cleancut_backup_stored_bytes",
            "What the newest good backup added to the store, in bytes.",
            label,
        )
        self._missing = gauge(
            "cleancut_backup_missing_collections",
            "Collections that the newest good backup could not hold; above 0 it is partial.",
            label,
        )
        self._consistency = gauge(
            "cleancut_backup_consistency",
            "Consistency of the newest good backup: 1 per-shard, 2 point-in-time, 3 point-in-time"
            " under a fence.",
            label,
        )
        self._usual_consistency = gauge(
            "cleancut_backup_usual_consistency",
            "Median consistency of up to seven good backups before the newest.",
            label,
        )
        self._skew = gauge(
            "cleancut_backup_skew_seconds",
            "All cuts of the newest good backup lie within this many seconds.",
            label,
        )

    def show(self, schedules: Mapping[str, Newest]) -> None:
        newest = [({"schedule": name}, one) for name, one in schedules.items()]
        self._success.show([(labels, one.group.cut_at_s) for labels, one in newest])
        self._size.show([(labels, one.group.size_bytes) for labels, one in newest])
        self._usual.show([(labels, one.usual_size_bytes) for labels, one in newest])
        self._stored.show([(labels, one.group.stored_bytes) for labels, one in newest])
        self._missing.show([(labels, len(one.group.missing)) for labels, one in newest])
        self._consistency.show(
            [
                (labels, rank_of(one.group.consistency, fenced=one.group.fenced))
                for labels, one in newest
            ]
        )
        self._usual_consistency.show([(labels, one.usual_rank) for labels, one in newest])
        skews = [(labels, one.group.skew_s) for labels, one in newest]
        self._skew.show([(labels, skew_s if skew_s >= 0 else None) for labels, skew_s in skews])
