"""A recorded request that cannot be read is a warning of its own operation, and hides no other."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from cleancut.api.interface import Api, PageRequest
from cleancut.core.primitives.codec import Record, encode
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.requests import (
    BackupRequest,
    RebalanceRequest,
    ReshardRequest,
    RestoreRequest,
    ShardNumber,
    UndeleteRequest,
)
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.services import coordinator_api
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.requests import put_followers
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.monitoring.cluster_reader import newest_ended
from tests.unit.coordinator.leader.test_state import context, run

ALL = PageRequest(50)
SPOILED = '{"wrong": '
RESHARDED = RestoreRequest(backup=Epoch(1), shards=(ShardNumber(shards=13),))


def api_of(at: CoordinatorContext) -> Api:
    return coordinator_api(at, lambda: cast("Leadership", None), lambda: None)


def operation(kind: OperationKind, name: str, request: Record, *, spoiled: bool) -> Operation:
    written = SPOILED if spoiled else encode(request).decode()
    return Operation(id=OperationId(name), kind=kind, state=State.ABORTED, request=written)


async def put(at: CoordinatorContext, *operations: Operation) -> None:
    await at.etcd.txn([], [Put(at.keys.operation(one.id), encode(one)) for one in operations])


@run
async def test_lists_show_it_and_the_others() -> None:
    """Of each kind of operation."""
    at = context()
    kinds = {
        OperationKind.BACKUP: ("b", BackupRequest()),
        OperationKind.RESTORE: ("r", RestoreRequest(backup=Epoch(1))),
        OperationKind.REBALANCE: ("m", RebalanceRequest()),
        OperationKind.RESHARD: ("n", ReshardRequest(collection="docs", shards=2)),
        OperationKind.UNDELETE: (
            "u",
            UndeleteRequest(backup=Epoch(1), collection="docs", into="docs"),
        ),
    }
    for kind, (letter, request) in kinds.items():
        await put(at, operation(kind, f"{letter}-bad", request, spoiled=True))
        await put(at, operation(kind, f"{letter}-good", request, spoiled=False))
    api = api_of(at)
    listed = [
        *(await api.restores.list_restores(ALL)).restores,
        *(await api.rebalances.list_rebalances(ALL)).rebalances,
        *(await api.reshards.list_reshards(ALL)).reshards,
        *(await api.undeletes.list_undeletes(ALL)).undeletes,
        await api.backups.get_backup("b-bad"),
        await api.backups.get_backup("b-good"),
    ]
    assert len(listed) == 10
    for one in listed:
        unread = [text for text in one.warnings if "cannot be read" in text]
        assert bool(unread) == one.id.endswith("bad"), one
        assert all(one.id in text for text in unread)


@run
async def test_a_restore_shows_its_reshards_in_order_and_what_cannot_be_read_of_them() -> None:
    at, wanted = context(), ReshardRequest(collection="docs", shards=13)
    restore = operation(OperationKind.RESTORE, "r-ab12", RESHARDED, spoiled=False)
    restore = replace(restore, state=State.DONE)
    await at.etcd.txn([], put_followers(at, restore, reshards=(wanted,) * 12))
    other = operation(OperationKind.RESHARD, "n-ffff", wanted, spoiled=True)
    failure = Failure(reason="FAILED", message="no space")
    second = replace(
        operation(OperationKind.RESHARD, "n-ab12-2", wanted, spoiled=True), failure=failure
    )
    await put(at, restore, other, second)
    shown = await api_of(at).restores.get_restore("r-ab12")
    assert shown.reshard_ids == tuple(f"n-ab12-{number}" for number in range(1, 13))
    unread, failed = [text for text in shown.warnings if "n-ab12-2" in text]
    assert "cannot be read" in unread
    assert failed == "reshard n-ab12-2 is ABORTED: no space"
    assert not any("n-ffff" in text for text in shown.warnings)
    reshards = (await api_of(at).reshards.list_reshards(ALL)).reshards
    numbers = [one.id for one in reshards if one.id.startswith("n-ab12")]
    assert numbers[0] == "n-ab12-12"


def test_metrics_count_it_as_an_operation_of_no_schedule() -> None:
    spoiled = operation(OperationKind.BACKUP, "b-bad", BackupRequest(), spoiled=True)
    (ended,) = newest_ended(
        [replace(spoiled, ended_at="2026-11-30T10:00:00Z", created_at="2026-11-30T10:00:00Z")]
    )
    assert ended.schedule == ""
