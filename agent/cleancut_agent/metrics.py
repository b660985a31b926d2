"""Every metric of an agent is named here, and only here."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from cleancut.core.archive.following import REASONS
from cleancut.core.backup.participant import BackupParticipantEffect
from cleancut.core.format.manifest import CaptureSources
from cleancut.core.restore.participant import RestoreParticipantEffect
from cleancut.runtime.certificates import CertificateGauges
from cleancut.runtime.prometheus import Meter
from cleancut.store.metered import DONE, FAILED, StoreCounters

SPILL, STORAGE = "spill", "storage"
EFFECTS = sorted(
    {
        kind.__name__
        for kind in (*get_args(BackupParticipantEffect), *get_args(RestoreParticipantEffect))
    }
)


class ArchiveMeters:
    """What this agent does for the continuous archive."""

    def __init__(self, meter: Meter) -> None:
        gauge, counter = meter.gauge, meter.counter
        self._archived_shards = gauge(
            "cleancut_agent_archive_shards", "Shards whose logs are archived by this agent."
        )
        self._archive_lag = gauge(
            "cleancut_agent_archive_lag_seconds",
            "Age in seconds of the oldest operation that was read and is not stored yet; 0: all"
            " are.",
        )
        self._archived = counter(
            "cleancut_agent_archive_entries_total", "Operations of shards stored in the archive."
        )
        self._archive_bytes = counter(
            "cleancut_agent_archive_bytes_total",
            "Bytes of these operations, and those stored for them.",
            kind=["raw", "stored"],
        )
        self._breaks = counter(
            "cleancut_agent_archive_breaks_total",
            "Chains of the archive that ended, each with a gap in what can be restored.",
            reason=REASONS,
        )
        self.show(shards=0, lag_s=0.0)

    def show(self, *, shards: int, lag_s: float) -> None:
        self._archived_shards.set(shards)
        self._archive_lag.set(lag_s)

    def count_archived(self, *, entries: int, raw: int, stored: int) -> None:
        self._archived.count(entries)
        self._archive_bytes.count(raw, kind="raw")
        self._archive_bytes.count(stored, kind="stored")

    def count_break(self, reason: str) -> None:
        self._breaks.count(reason=reason)


class CaptureMeters:
    """Captures of segments, by where their bytes came from."""

    def __init__(self, meter: Meter) -> None:
        gauge, counter = meter.gauge, meter.counter
        self._direct = gauge(
            "cleancut_agent_direct_capture",
            "1 if segments can be captured from the local peer's disk, 0 if Qdrant streams all of"
            " them.",
        )
        self._captured = counter(
            "cleancut_agent_captured_bytes_total",
            "Bytes of captured shards: streamed by Qdrant, read from its disk, or kept of the last"
            " backup without being read.",
            source=["streamed", "disk", "kept"],
        )
        self._unproven = counter(
            "cleancut_agent_unproven_captures_total",
            "Captures that were given up since a file may have changed; the backup is tried again.",
        )

    def show(self, capture: str | None) -> None:
        """Why nothing is captured from the disk; "": it is; None: not known."""
        self._direct.show_one(None if capture is None else int(not capture))

    def count_captured(self, sources: CaptureSources) -> None:
        self._captured.count(sources.streamed_bytes, source="streamed")
        self._captured.count(sources.direct_bytes, source="disk")
        self._captured.count(sources.kept_bytes, source="kept")

    def count_unproven(self) -> None:
        self._unproven.count()


class AgentMetrics:
    """One registry a process."""

    def __init__(self, cluster: str, agent: str) -> None:
        self._meter = Meter("agent", cluster=cluster, agent=agent)
        self.registry = self._meter.registry
        gauge, counter = self._meter.gauge, self._meter.counter
        self._session_open = gauge(
            "cleancut_agent_session_open", "1 while registered in etcd, else 0."
        )
        self._wal = gauge(
            "cleancut_agent_wal_readable",
            "1 if the logs of the local peer's shards can be followed, 0 if snapshots are all there"
            " is.",
        )
        self._disk_free = gauge(
            "cleancut_agent_disk_free_bytes",
            "Free bytes of the disk that holds the spill directory, or the local peer's storage if"
            " it is seen.",
            "volume",
        )
        self._floor = gauge(
            "cleancut_agent_spill_floor_bytes",
            "Configured free space on the spill directory's disk that agents leave, in bytes.",
        )
        self._moved = counter("cleancut_agent_moved_bytes_total", "Bytes of shard tars moved.")
        self._lifted = counter(
            "cleancut_agent_fences_lifted_total", "Fences that this agent had to lift."
        )
        self._stuck = gauge(
            "cleancut_agent_fences_stuck",
            "Fences that cannot be lifted: their alias' name was taken meanwhile.",
        )
        self._effects = counter(
            "cleancut_agent_effects_total",
            "Steps done for an operation.",
            effect=EFFECTS,
            result=[DONE, FAILED],
        )
        self._skipped = counter(
            "cleancut_agent_etcd_records_skipped_total",
            "Keys in etcd that could not be decoded, each counted once by each agent.",
        )
        self.captures = CaptureMeters(self._meter)
        self.archive = ArchiveMeters(self._meter)
        self.certificates = CertificateGauges(self._meter)
        self.count_request = StoreCounters(self._meter).count
        self._read_disks: Callable[[], dict[str, int]] = dict
        self._read_floor: Callable[[], int | None] = lambda: None
        self.set_session(open_=False)
        self.set_stuck(0)

    def ask(self, disks: Callable[[], dict[str, int]], floor: Callable[[], int]) -> None:
        """Where free bytes by volume, and the floor that is set, are read at each scrape."""
        self._read_disks, self._read_floor = disks, floor

    def set_wal(self, *, readable: bool | None) -> None:
        """None: not known."""
        self._wal.show_one(None if readable is None else int(readable))

    def set_session(self, *, open_: bool) -> None:
        self._session_open.set(1 if open_ else 0)

    def set_stuck(self, fences: int) -> None:
        self._stuck.set(fences)

    def count_skipped(self) -> None:
        self._skipped.count()

    def count_lifted(self) -> None:
        self._lifted.count()

    def count_moved(self, size_bytes: int) -> None:
        self._moved.count(size_bytes)

    def count_effect(self, effect: str, result: str) -> None:
        self._effects.count(effect=effect, result=result)

    def render(self) -> tuple[bytes, str]:
        free = self._read_disks().items()
        self._disk_free.show([({"volume": volume}, size_bytes) for volume, size_bytes in free])
        self._floor.show_one(self._read_floor())
        self.certificates.refresh()
        return self._meter.render()
