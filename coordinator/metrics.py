"""Every metric of a coordinator is named here, and only here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cleancut import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry a process."""

    def __init__(self, cluster: str) -> None:
        self.registry = CollectorRegistry()
        self._cluster = cluster

        def gauge(name: str, text: str) -> Gauge:
            made = Gauge(name, text, ["cluster"], registry=self.registry)
            return made.labels(cluster=cluster)

        info = Gauge(
            "cleancut_build_info", "Version.", ["version", "component"], registry=self.registry
        )
        info.labels(version=__version__, component="coordinator").set(1)
        self.leader = gauge("cleancut_coordinator_leader", "1 on the leader; the sum must be 1.")
        self.last_success = Gauge(
            "cleancut_last_success_timestamp_seconds",
            "Cut time of the newest complete group in the store; absent until one is known.",
            ["cluster"],
            registry=self.registry,
        )
        self.groups = Gauge(
            "cleancut_catalog_groups",
            "Groups in the store; absent until it was read.",
            ["cluster"],
            registry=self.registry,
        )
        self.last_sweep = Gauge(
            "cleancut_last_sweep_timestamp_seconds",
            "End of the last sweep that did not fail; absent until there was one.",
            ["cluster"],
            registry=self.registry,
        )
        self.garbage = Gauge(
            "cleancut_garbage_bytes",
            "What nothing names and a later sweep deletes; absent until there was one.",
            ["cluster"],
            registry=self.registry,
        )
        self.last_proven = Gauge(
            "cleancut_last_verified_timestamp_seconds",
            "When a group was last read again (verify) or opened and asked (drill), and all was"
            " well; absent until then.",
            ["cluster", "kind"],
            registry=self.registry,
        )
        self.fence_open = gauge(
            "cleancut_fence_open", "1 from the raising of a fence until it is seen lifted."
        )
        self.fence_seconds = Histogram(
            "cleancut_fence_seconds",
            "How long writes were held off, from the raising until it was seen lifted.",
            ["cluster"],
            registry=self.registry,
            buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60),
        ).labels(cluster=cluster)
        self.epochs = Counter(
            "cleancut_epochs_total",
            "Attempts that ended, by outcome.",
            ["cluster", "outcome"],
            registry=self.registry,
        )

    def set_catalog(self, groups: int, newest_cut_s: float | None) -> None:
        """What the store holds; `newest_cut_s` is None while it holds nothing."""
        self.groups.labels(cluster=self._cluster).set(groups)
        if newest_cut_s is not None:
            self.last_success.labels(cluster=self._cluster).set(newest_cut_s)

    def set_proven(self, kind: str, at_s: float) -> None:
        """A verification or drill went well then."""
        self.last_proven.labels(cluster=self._cluster, kind=kind).set(at_s)

    def set_swept(self, now_s: float, doomed_bytes: int) -> None:
        """A sweep has ended, and left so much to the next."""
        self.last_sweep.labels(cluster=self._cluster).set(now_s)
        self.garbage.labels(cluster=self._cluster).set(doomed_bytes)

    def count_epoch(self, outcome: str) -> None:
        self.epochs.labels(cluster=self._cluster, outcome=outcome).inc()

    def render(self) -> tuple[bytes, str]:
        return generate_latest(self.registry), CONTENT_TYPE
