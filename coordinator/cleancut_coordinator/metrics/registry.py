"""Every metric of a coordinator is named here, and in the two modules beside that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cleancut.core.backup.phases import STATE_OF
from cleancut.core.doctor.protection import Protection
from cleancut.core.maintenance.inventory import Inventory
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.outcomes import Outcome
from cleancut.core.protocol.states import CLOSED, OperationKind, Phase
from cleancut.runtime.certificates import CertificateGauges
from cleancut.runtime.prometheus import Meter
from cleancut.store.metered import StoreCounters
from cleancut_coordinator.metrics.catalog_metrics import CatalogGauges
from cleancut_coordinator.metrics.cluster_metrics import (
    ArchiveGauges,
    ClusterGauges,
    ScheduleGauges,
)
from cleancut_coordinator.metrics.cluster_snapshot import ClusterSeen
from cleancut_coordinator.metrics.copy_metrics import CopyGauges, CopySeen
from cleancut_coordinator.metrics.notify_metrics import NotifyMetrics

ABORTED = "aborted"
_FENCE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)
_PHASE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800)


class CoordinatorMetrics:
    """One registry a process. What its methods show replaces what they showed before."""

    def __init__(self, cluster: str, notify: Sequence[str] = ()) -> None:
        self._meter = Meter("coordinator", cluster=cluster)
        self.registry = self._meter.registry
        self._catalog = CatalogGauges(self._meter)
        self._cluster = ClusterGauges(self._meter)
        self._schedules = ScheduleGauges(self._meter)
        self._archive = ArchiveGauges(self._meter)
        self._copies = CopyGauges(self._meter)
        self.notified = NotifyMetrics(self._meter, notify)
        self.certificates = CertificateGauges(self._meter)
        counter, histogram = self._meter.counter, self._meter.histogram
        self.leader = self._meter.gauge(
            "cleancut_coordinator_leader", "1 on the leader, 0 on a standby; the sum must be 1."
        )
        self.leader.set(0)
        self._epochs = counter(
            "cleancut_epochs_total",
            "Attempts that ended while this coordinator led, by outcome. An operation may take"
            " several.",
            kind=[kind.value for kind in OperationKind],
            outcome=[Outcome.COMPLETE, ABORTED],
        )
        self._phases = histogram(
            "cleancut_phase_duration_seconds",
            "How long each phase of an attempt took, in seconds, on the coordinator that led.",
            _PHASE_BUCKETS,
            kind=[OperationKind.BACKUP],
            phase=[phase.value for phase in STATE_OF if phase not in CLOSED],
        )
        self._fences = histogram(
            "cleancut_fence_seconds",
            "How long writes were held off, in seconds, from the raising until it was seen lifted.",
            _FENCE_BUCKETS,
        )
        self._failed_gcs = counter(
            "cleancut_gc_failures_total", "Gc runs that failed while this coordinator led."
        )
        self._skipped = counter(
            "cleancut_etcd_records_skipped_total",
            "Keys in etcd that could not be decoded, each counted once by each coordinator.",
        )
        self.count_request = StoreCounters(self._meter).count
        self._phase: tuple[Ctl, float] | None = None

    def render(self) -> tuple[bytes, str]:
        """The body and its content type, as Prometheus reads it."""
        self.certificates.refresh()
        return self._meter.render()

    def set_leading(self, *, leading: bool) -> None:
        """What was timed under another leader is not ours to tell."""
        self.leader.set(1 if leading else 0)
        self._phase = None

    def moved(self, ctl: Ctl, now_s: float) -> None:
        """`ctl` has been written, by this leader. Unit: of a clock that only goes on."""
        before = self._phase
        if ctl.round > 1 and ctl.phase is Phase.STANDSTILL:
            return  # another round of the same phase
        self._phase = (ctl, now_s)
        if before is not None and before[0].epoch == ctl.epoch:
            was = before[0]
            if was.phase not in CLOSED:
                self._phases.observe(now_s - before[1], kind=was.kind, phase=was.phase)
        if ctl.phase in CLOSED:
            outcome = ABORTED if ctl.phase is Phase.ABORT else Outcome.COMPLETE
            self._epochs.count(kind=ctl.kind, outcome=outcome)

    def fence_lifted(self, took_s: float) -> None:
        self._fences.observe(took_s)

    def count_skipped(self) -> None:
        self._skipped.count()

    def count_failed_gc(self) -> None:
        self._failed_gcs.count()

    def show_catalog(self, stock: Inventory, proven: Mapping[str, float], now_s: float) -> None:
        """What the store holds, as it was read at `now_s`; `proven`: by kind, when that went well
        last."""
        self._catalog.show(stock, proven, now_s)

    def show_collections(self, ages: Mapping[str, float | None] | None) -> None:
        """Of each collection of the cluster, when the newest good group that holds it was cut; None
        for none. None: it is not known what there is."""
        self._catalog.show_collections(ages)

    def show_protection(self, judged: Protection) -> None:
        """What `cleancut status` says of the collections, as a number."""
        self._catalog.show_protection(judged)

    def set_max_ages(self, schedules: Mapping[tuple[str, str], float]) -> None:
        """How old the newest result of each (schedule, kind) may be."""
        self._schedules.set_max_ages(schedules)

    def show_store_size(self, size_bytes: int) -> None:
        self._catalog.size.show_one(size_bytes)

    def set_archive_bases(self, chains: frozenset[str] | None) -> None:
        """Chains of the archive of which a backup is a base; None: not known."""
        self._archive.set_bases(chains)

    def show_copies(self, copies: Mapping[str, CopySeen]) -> None:
        """The copies by the names of their stores."""
        self._copies.show(copies)

    def show_cluster(self, seen: ClusterSeen | None) -> None:
        """What etcd says; None: nothing that can be understood, so nothing is known."""
        self._cluster.show(seen)
        self._schedules.show(seen)
        self._archive.show(seen)

    def set_intervals(self, schedules: Mapping[tuple[str, str], float], gc_every_s: float) -> None:
        """How far apart the times of each (schedule, kind) are at most, and those of gc runs."""
        self._schedules.set_intervals(schedules)
        self._catalog.gc_interval.show_one(gc_every_s or None)
