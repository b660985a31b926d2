"""A coordinator's metrics of what etcd says: agents, operations, fences, gc runs and schedules."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.core.protocol.outcomes import Outcome
from cleancut.runtime.prometheus import Meter
from cleancut_coordinator.metrics.cluster_snapshot import ClusterSeen


class ClusterGauges:
    """Gauges of what etcd says."""

    def __init__(self, meter: Meter) -> None:
        gauge = meter.gauge
        self._agents = gauge(
            "cleancut_agents",
            "expected: peers of the cluster; connected: agents in etcd whose Qdrant answers.",
            "state",
        )
        self._fence_open = gauge(
            "cleancut_fence_open", "1 from the raising of a fence until it is seen lifted, else 0."
        )
        self._fence_raised = gauge(
            "cleancut_fence_raised_timestamp_seconds",
            "When the fence that stands was raised, in seconds since 1970; absent without one.",
        )
        self._open = gauge(
            "cleancut_open_operation_timestamp_seconds",
            "When the oldest unfinished operation was requested, in seconds since 1970;"
            " absent without one.",
            "kind",
            "state",
        )
        self._last = gauge(
            "cleancut_last_operation_timestamp_seconds",
            "When the newest operation of this kind, schedule and outcome ended, in seconds since"
            " 1970; for as long as etcd knows it. rejected: one by hand that named what is not"
            " there.",
            *("kind", "schedule", "outcome"),
        )
        self._took = gauge(
            "cleancut_last_operation_duration_seconds",
            "How long the newest complete operation took, in seconds, from its request to its end.",
            *("kind", "schedule"),
        )
        self._coordinators = gauge(
            "cleancut_coordinators", "Coordinators that lead or stand by, as etcd knows them."
        )
        self._needing = gauge(
            "cleancut_needs_operator_timestamp_seconds",
            "When the newest operation of a kind ended that needs an operator, in seconds since"
            " 1970; absent once a newer one is complete, or etcd no longer knows it.",
            "kind",
        )
        self._last_gc = gauge(
            "cleancut_last_gc_timestamp_seconds",
            "When the last gc run ended that did not fail, in seconds since 1970.",
        )
        self._garbage = gauge(
            "cleancut_garbage_bytes", "Unreferenced objects that a later gc run deletes, in bytes."
        )

    def show(self, seen: ClusterSeen | None) -> None:
        agents = (
            [] if seen is None else [("expected", seen.expected), ("connected", seen.connected)]
        )
        self._agents.show([({"state": state}, number) for state, number in agents])
        fenced = seen is not None and seen.fence_since_s is not None
        self._fence_open.show_one(None if seen is None else float(fenced))
        self._fence_raised.show_one((seen.fence_since_s or None) if seen else None)
        waiting, ended = (seen.waiting, seen.ended) if seen else ((), ())
        self._open.show([({"kind": w.kind, "state": w.state}, w.since_s) for w in waiting])
        labels = [{"kind": e.kind, "schedule": e.schedule} for e in ended]
        told = list(zip(labels, ended, strict=True))
        self._last.show([({**names, "outcome": e.outcome}, e.at_s) for names, e in told])
        self._took.show([(names, e.took_s) for names, e in told if e.outcome is Outcome.COMPLETE])
        self._coordinators.show_one(seen.coordinators if seen else None)
        needing = seen.needing if seen else ()
        self._needing.show([({"kind": kind}, at_s) for kind, at_s in needing])
        self._last_gc.show_one(seen.gc_s if seen else None)
        self._garbage.show_one(seen.garbage_bytes if seen else None)


class ArchiveGauges:
    """Gauges of the continuous archive; absent while nothing is archived."""

    def __init__(self, meter: Meter) -> None:
        gauge = meter.gauge
        self._shards = gauge(
            "cleancut_archive_shards",
            "planned: shards to be archived; followed: those that an agent follows; based: those"
            " whose chain a backup is the base of.",
            "state",
        )
        self._lag = gauge(
            "cleancut_archive_lag_seconds",
            "What would be lost with a shard's disk now, at most: the age in seconds of the oldest"
            " operation that is not in the store, or since its agent is away.",
        )
        self._marked = gauge(
            "cleancut_archive_last_mark_timestamp_seconds",
            "When all archived shards stood still last, in seconds since 1970; absent if they never"
            " did.",
        )
        self._based: frozenset[str] | None = None

    def set_bases(self, chains: frozenset[str] | None) -> None:
        """The chains of which a backup is a base; None: not known."""
        self._based = chains

    def show(self, seen: ClusterSeen | None) -> None:
        one = seen.archive if seen else None
        based = None if self._based is None or one is None else len(one.chains & self._based)
        states = [] if one is None else [("planned", one.planned), ("followed", one.followed)]
        rows: list[tuple[str, float | None]] = [*states, ("based", based)]
        self._shards.show([({"state": state}, number) for state, number in rows])
        self._lag.show_one(one.lag_s if one else None)
        self._marked.show_one(one.last_mark_s if one else None)


class ScheduleGauges:
    """Gauges of the schedules in the coordinators' file."""

    def __init__(self, meter: Meter) -> None:
        gauge, labels = meter.gauge, ("schedule", "kind")
        self._interval = gauge(
            "cleancut_schedule_interval_seconds",
            "The longest that two times of a schedule lie apart, in seconds.",
            *labels,
        )
        self._max_age = gauge(
            "cleancut_schedule_max_age_seconds",
            "How old the newest result of a schedule may be, in seconds: its max-age, or one and a"
            " half intervals.",
            *labels,
        )
        self._since = gauge(
            "cleancut_schedule_since_timestamp_seconds",
            "When a leader first saw a schedule with these times, in seconds since 1970.",
            *labels,
        )
        self._next = gauge(
            "cleancut_schedule_next_timestamp_seconds",
            "When it starts next, in seconds since 1970; absent while it is paused.",
            *labels,
        )
        self._last = gauge(
            "cleancut_schedule_last_timestamp_seconds",
            "The newest of its times that something was started for, in seconds since 1970.",
            *labels,
        )
        self._paused = gauge("cleancut_schedule_paused", "1 while it is paused, else 0.", *labels)

    def set_intervals(self, schedules: Mapping[tuple[str, str], float]) -> None:
        self._interval.show(_finite(schedules))

    def set_max_ages(self, schedules: Mapping[tuple[str, str], float]) -> None:
        self._max_age.show(_finite(schedules))

    def show(self, seen: ClusterSeen | None) -> None:
        known = seen.schedules if seen else ()
        rows = [({"schedule": one.name, "kind": one.kind}, one) for one in known]
        self._since.show([(labels, one.since_s) for labels, one in rows])
        self._next.show([(labels, one.next_s) for labels, one in rows])
        self._last.show([(labels, one.last_s) for labels, one in rows])
        self._paused.show([(labels, float(one.paused)) for labels, one in rows])


def _finite(
    schedules: Mapping[tuple[str, str], float],
) -> list[tuple[dict[str, str], float | None]]:
    """By schedule and kind; of one with a single time nothing is known."""
    rows = schedules.items()
    return [({"schedule": n, "kind": k}, s if s < float("inf") else None) for (n, k), s in rows]
