"""What both processes tell Prometheus: unknown is absent, and what can count is there before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from cleancut.core.maintenance.garbage import LastGc
from cleancut.core.maintenance.inventory import GroupSummary, Inventory, Newest
from cleancut.core.primitives.codec import Record, encode
from cleancut.core.primitives.errors import NotFound, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Coordinator, Ctl, Failure, Operation, Session
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Put
from cleancut.runtime.log import configure_logging
from cleancut.store.metered import InstrumentedStore
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.metrics import AgentMetrics
from cleancut_coordinator.metrics.catalog_metrics import MAX_COLLECTIONS
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.monitoring.cluster_reader import needing_operator, read_cluster
from tests.support.certificates import Authority
from tests.unit.coordinator.maintenance.test_scheduler import HOUR_S, NOON_S, Cluster

LOG = configure_logging("error", "test")
NOTHING = Inventory(0, 0, {}, {})


def told(metrics: CoordinatorMetrics | AgentMetrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one metric, by the values of its own labels, sorted by label."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            if sample.name == name:
                own = {k: v for k, v in sample.labels.items() if k not in {"cluster", "agent"}}
                found[tuple(own[key] for key in sorted(own))] = sample.value
    return found


def test_what_is_not_known_yet_has_no_series() -> None:
    """Neither 0 nor anything else: an age counted from 1970 would alert for ever, or never."""
    metrics = CoordinatorMetrics("prod")
    for name in ("last_success_timestamp_seconds", "catalog_groups", "agents", "fence_open"):
        assert told(metrics, f"cleancut_{name}") == {}
    assert told(metrics, "cleancut_coordinator_leader") == {(): 0}
    assert told(metrics, "cleancut_gc_failures_total") == {(): 0}
    epochs = told(metrics, "cleancut_epochs_total")
    assert epochs == {(kind, end): 0 for kind in OperationKind for end in ("complete", "aborted")}


def test_what_is_not_there_any_more_has_no_series_again() -> None:
    metrics = CoordinatorMetrics("prod")
    metrics.show_collections({"docs": 5.0, "new": None})
    assert told(metrics, "cleancut_collection_last_success_timestamp_seconds") == {("docs",): 5.0}
    metrics.show_collections(None)
    assert told(metrics, "cleancut_collection_last_success_timestamp_seconds") == {}
    metrics.show_catalog(NOTHING, {"drill": 7.0}, 9.0)
    assert told(metrics, "cleancut_last_verified_timestamp_seconds") == {("drill",): 7.0}
    metrics.show_catalog(NOTHING, {}, 9.0)
    assert told(metrics, "cleancut_last_verified_timestamp_seconds") == {}


def test_a_thousand_collections_are_not_a_thousand_series() -> None:
    """The ones that were backed up longest ago are told."""
    metrics = CoordinatorMetrics("prod")
    metrics.show_collections({f"c{number}": float(number) for number in range(1000)})
    shown = told(metrics, "cleancut_collection_last_success_timestamp_seconds")
    assert len(shown) == MAX_COLLECTIONS
    assert max(shown.values()) == MAX_COLLECTIONS - 1


def test_phases_are_timed_by_who_led_through_them() -> None:
    """A phase that began under another leader is not timed; an attempt that it ends is counted."""
    metrics = CoordinatorMetrics("prod")

    def moved(phase: Phase, now_s: float, epoch: int = 1) -> None:
        metrics.moved(Ctl(kind=OperationKind.BACKUP, phase=phase, epoch=Epoch(epoch)), now_s)

    moved(Phase.CUT, 10.0)
    moved(Phase.SEAL, 12.0)
    metrics.set_leading(leading=True)
    moved(Phase.UPLOAD, 50.0)
    moved(Phase.ABORT, 51.0)
    moved(Phase.PREPARE, 60.0, epoch=2)
    moved(Phase.IDLE, 61.5, epoch=2)
    sums = told(metrics, "cleancut_phase_duration_seconds_sum")
    sums = {labels: took_s for labels, took_s in sums.items() if took_s}
    assert sums == {("backup", "CUT"): 2.0, ("backup", "UPLOAD"): 1.0, ("backup", "PREPARE"): 1.5}
    epochs = told(metrics, "cleancut_epochs_total")
    assert epochs["backup", "aborted"] == epochs["backup", "complete"] == 1


def test_requests_to_the_store_are_counted_by_what_came_of_them() -> None:
    """An object that is not there is an answer; bytes are those that went."""
    metrics = AgentMetrics("prod", "a0")

    class Broken(MemoryStore):
        async def delete(self, path: str) -> None:
            raise Unavailable("the store is away")

    async def body() -> None:
        store = InstrumentedStore(Broken(), metrics.count_request)
        await store.put("a/b", b"12345")
        assert await store.get("a/b", 1, 2) == b"23"
        for call in (store.get("a/c"), store.delete("a/b")):
            try:
                await call
            except (NotFound, Unavailable):
                continue
        assert [info.path async for info in store.list("a/")] == ["a/b"]

    asyncio.run(body())
    requests = told(metrics, "cleancut_store_requests_total")
    expected = {("put", "done"): 1, ("get", "done"): 2, ("delete", "failed"): 1}
    assert {key: n for key, n in requests.items() if n} == {**expected, ("list", "done"): 1}
    assert ("stat", "failed") in requests
    assert told(metrics, "cleancut_store_moved_bytes_total") == {("put",): 5, ("get",): 2}


def test_an_agents_disks_are_looked_at_when_it_is_asked() -> None:
    metrics = AgentMetrics("prod", "a0")
    assert told(metrics, "cleancut_agent_disk_free_bytes") == {}
    disks = {"spill": 7, "storage": 9}
    metrics.ask(lambda: disks, lambda: 3)
    assert told(metrics, "cleancut_agent_disk_free_bytes") == {("spill",): 7, ("storage",): 9}
    del disks["storage"]
    assert told(metrics, "cleancut_agent_disk_free_bytes") == {("spill",): 7}
    assert told(metrics, "cleancut_agent_spill_floor_bytes") == {(): 3}


def ended(name: str, state: State, at_s: float, **more: Any) -> Operation:
    request = encode(BackupRequest(schedule=more.pop("schedule", ""))).decode()
    return Operation(
        id=OperationId(name),
        kind=OperationKind.BACKUP,
        state=state,
        request=request,
        created_at=format_time(at_s - 30.0),
        ended_at="" if state is State.UPLOADING else format_time(at_s),
        **more,
    )


def records_of(keys: Keys) -> dict[str, Record]:
    """What etcd holds of a cluster in which something has happened."""
    failed, called_off, mistyped = (
        Failure(reason=reason, message="") for reason in ("X", "CANCELLED", "NOT_FOUND")
    )
    return {
        keys.session(AgentName("a0")): Session(
            name=AgentName("a0"), version="1", peer_id=PeerId(1), peers=(PeerId(1), PeerId(2))
        ),
        keys.session(AgentName("a1")): Session(name=AgentName("a1"), version="1"),
        keys.fence(Epoch(3)): Fence(
            epoch=Epoch(3), budget_s=2.0, raised_at=format_time(NOON_S - 5)
        ),
        keys.last_gc: LastGc(at=format_time(NOON_S - HOUR_S), marked_bytes=77),
        keys.operation("b-1"): ended("b-1", State.COMMITTED, NOON_S - 200, schedule="hourly"),
        keys.operation("b-2"): ended("b-2", State.COMMITTED, NOON_S - 100, schedule="hourly"),
        keys.operation("b-3"): ended(
            "b-3", State.ABORTED, NOON_S, schedule="hourly", failure=failed
        ),
        keys.operation("b-4"): ended("b-4", State.ABORTED, NOON_S, failure=called_off),
        keys.operation("b-5"): ended("b-5", State.UPLOADING, NOON_S),
        keys.operation("b-6"): ended("b-6", State.ABORTED, NOON_S, failure=mistyped),
        keys.operation("b-7"): ended(
            "b-7", State.ABORTED, NOON_S - 7, schedule="dropped", failure=mistyped
        ),
        keys.coordinator("c0"): Coordinator(name="c0", address="", version="1"),
        keys.coordinator("c1"): Coordinator(name="c1", address="", version="1"),
    }


def test_gauges_of_the_cluster_come_from_etcd() -> None:
    """Any coordinator tells the same, whenever it was started, and tells nothing without etcd."""
    cluster = Cluster()
    etcd, records = cluster.context.etcd, records_of(cluster.context.keys)

    async def body() -> None:
        await (await cluster.lead()).pause("hourly", paused=False)
        await etcd.txn([], [Put(key, encode(record)) for key, record in records.items()])
        metrics = CoordinatorMetrics("prod")
        metrics.show_cluster(await read_cluster(cluster.context))
        check(metrics)
        metrics.show_cluster(None)
        for name in ("agents", "fence_open", "schedule_next_timestamp_seconds"):
            assert told(metrics, f"cleancut_{name}") == {}

    def check(metrics: CoordinatorMetrics) -> None:
        assert told(metrics, "cleancut_agents") == {("connected",): 1, ("expected",): 2}
        assert told(metrics, "cleancut_fence_open") == {(): 1}
        assert told(metrics, "cleancut_fence_raised_timestamp_seconds") == {(): NOON_S - 5}
        assert told(metrics, "cleancut_last_gc_timestamp_seconds") == {(): NOON_S - HOUR_S}
        assert told(metrics, "cleancut_garbage_bytes") == {(): 77}
        assert told(metrics, "cleancut_coordinators") == {(): 2}
        assert told(metrics, "cleancut_open_operation_timestamp_seconds") == {
            ("backup", "UPLOADING"): NOON_S - 30
        }
        assert told(metrics, "cleancut_last_operation_timestamp_seconds") == {
            ("backup", "complete", "hourly"): NOON_S - 100,
            ("backup", "failed", "hourly"): NOON_S,
            ("backup", "cancelled", ""): NOON_S,
            ("backup", "rejected", ""): NOON_S,
            ("backup", "failed", "dropped"): NOON_S - 7,
        }
        durations = told(metrics, "cleancut_last_operation_duration_seconds")
        assert durations == {("backup", "hourly"): 30}
        own = ("backup", "hourly")
        assert told(metrics, "cleancut_schedule_since_timestamp_seconds") == {own: NOON_S}
        assert told(metrics, "cleancut_schedule_next_timestamp_seconds") == {own: NOON_S + HOUR_S}
        assert told(metrics, "cleancut_schedule_paused") == {own: 0}

    asyncio.run(body())


@pytest.mark.parametrize(
    ("states", "needed"),
    [
        ([State.NEEDS_OPERATOR], {OperationKind.RESTORE: NOON_S}),
        ([State.NEEDS_OPERATOR, State.ROLLED_BACK], {OperationKind.RESTORE: NOON_S}),
        ([State.NEEDS_OPERATOR, State.DONE], {}),
        ([State.DONE, State.NEEDS_OPERATOR], {OperationKind.RESTORE: NOON_S + 1}),
        ([State.RECOVERING], {}),
    ],
)
def test_an_operator_is_needed_until_a_later_one_of_the_kind_is_done(
    states: list[State], needed: dict[OperationKind, float]
) -> None:
    found = [
        replace(ended(f"r-{n}", state, NOON_S + n), kind=OperationKind.RESTORE)
        for n, state in enumerate(states)
    ]
    assert dict(needing_operator(found)) == needed


def test_certificates_are_read_at_each_scrape(tmp_path: Path) -> None:
    """The one of a file that ends first; a file that is missing or holds none is left out."""
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("server")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + authority.ca.read_bytes())
    ends = [
        one.not_valid_after_utc.timestamp()
        for one in x509.load_pem_x509_certificates(both.read_bytes())
    ]
    metrics = CoordinatorMetrics("prod")
    none = tmp_path / "none.pem"
    metrics.certificates.watch({"grpc-cert": both, "etcd-ca": none})
    shown = told(metrics, "cleancut_certificate_expiry_timestamp_seconds")
    assert shown == {("grpc-cert",): min(ends)}
    assert told(metrics, "cleancut_certificate_lifetime_seconds")["grpc-cert",] > 0
    both.write_text("no certificate")
    metrics.certificates.watch({"grpc-cert": both})
    assert told(metrics, "cleancut_certificate_expiry_timestamp_seconds") == {}


def test_sizes_are_of_collections_that_the_cluster_still_has() -> None:
    metrics = CoordinatorMetrics("prod")
    metrics.show_catalog(NOTHING._replace(size_bytes=70, sizes={"docs": 30, "old": 5}), {}, 9.0)
    metrics.show_collections({"docs": 1.0, "new": None})
    assert told(metrics, "cleancut_collection_size_bytes") == {("docs",): 30}
    assert told(metrics, "cleancut_catalog_protected_bytes") == {(): 70}


def test_a_partial_backup_is_seen_by_its_schedule() -> None:
    metrics = CoordinatorMetrics("prod")
    newest = {name: Newest(summary(name, lacks), None) for name, lacks in LACKING.items()}
    metrics.show_catalog(NOTHING._replace(schedules=newest), {}, 9.0)
    shown = told(metrics, "cleancut_backup_missing_collections")
    assert shown == {("",): 0, ("nightly",): 2}


LACKING: dict[str, tuple[str, ...]] = {"": (), "nightly": ("logs", "users")}


def summary(schedule: str, missing: tuple[str, ...]) -> GroupSummary:
    return GroupSummary(
        epoch=Epoch(1),
        schedule=schedule,
        cut_at_s=1.0,
        consistency=Consistency.PER_SHARD,
        fenced=False,
        skew_s=0.0,
        size_bytes=1,
        stored_bytes=1,
        collections=frozenset({"docs"}),
        missing=missing,
    )
