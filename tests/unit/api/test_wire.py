"""Values and messages say the same, field by field."""

from __future__ import annotations

import re
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

import cleancut.core
from cleancut.api import (
    archive,
    backups,
    cluster,
    garbage,
    operations,
    rebalances,
    reshards,
    restores,
    schedules,
    undeletes,
)
from cleancut.api import values as api_values
from cleancut.api.wire import from_message, new_message, prefix_of, to_message
from cleancut.core.primitives.errors import Invalid
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State
from cleancut.v1 import (
    backup_pb2,
    cluster_pb2,
    common_pb2,
    rebalance_pb2,
    reshard_pb2,
    restore_pb2,
    schedule_pb2,
    undelete_pb2,
)

TIME = api_values.Time
CORE = Path(cleancut.core.__path__[0])
PAIRS: list[tuple[type[api_values.ApiValue], Any]] = [
    (api_values.OperationError, common_pb2.OperationError),
    (api_values.AgentProgress, common_pb2.AgentProgress),
    (backups.Backup, backup_pb2.Backup),
    (backups.BackupPage, backup_pb2.ListBackupsResponse),
    (backups.Evidence, backup_pb2.Evidence),
    (backups.ShardEvidence, backup_pb2.ShardEvidence),
    (backups.BackupBytes, backup_pb2.BackupBytes),
    (backups.Seed, backup_pb2.Seed),
    (backups.MissingCollection, backup_pb2.MissingCollection),
    (api_values.PhaseTime, common_pb2.PhaseTime),
    (api_values.Attempt, common_pb2.Attempt),
    (backups.BackupPlan, backup_pb2.BackupPlan),
    (backups.PlannedCut, backup_pb2.PlannedCut),
    (backups.CollectionBytes, backup_pb2.CollectionBytes),
    (backups.BackupCheck, backup_pb2.BackupCheck),
    (garbage.KeptBackup, backup_pb2.KeptBackup),
    (restores.Restore, restore_pb2.Restore),
    (restores.RestoreEstimate, restore_pb2.RestoreEstimate),
    (restores.RestorePage, restore_pb2.ListRestoresResponse),
    (restores.RestoredCollection, restore_pb2.RestoredCollection),
    (restores.RestorePlan, restore_pb2.RestorePlan),
    (restores.RestoreOptions, restore_pb2.RestoreOptions),
    (restores.Rename, restore_pb2.Rename),
    (restores.ShardNumber, restore_pb2.ShardNumber),
    (restores.PlannedReshard, restore_pb2.PlannedReshard),
    (restores.RestoreEstimate, restore_pb2.RestoreEstimate),
    (restores.KeptCollection, restore_pb2.KeptCollection),
    (restores.OverwrittenCollection, restore_pb2.OverwrittenCollection),
    (restores.PlannedCollection, restore_pb2.PlannedCollection),
    (restores.PlannedPeer, restore_pb2.PlannedPeer),
    (restores.MomentOptions, restore_pb2.MomentOptions),
    (restores.RestoredMoment, restore_pb2.RestoredMoment),
    (restores.RestoredLog, restore_pb2.RestoredLog),
    (archive.ArchivedShard, cluster_pb2.ArchivedShard),
    (archive.Archive, cluster_pb2.Archive),
    (archive.ArchiveMark, cluster_pb2.ArchiveMark),
    (archive.LogQuery, backup_pb2.ReadLogRequest),
    (archive.LoggedOperation, backup_pb2.LoggedOperation),
    (archive.LogPage, backup_pb2.ReadLogResponse),
    (rebalances.BalanceStep, rebalance_pb2.BalanceStep),
    (rebalances.BalancedPeer, rebalance_pb2.BalancedPeer),
    (rebalances.Rebalance, rebalance_pb2.Rebalance),
    (rebalances.RebalanceOptions, rebalance_pb2.RebalanceOptions),
    (rebalances.RebalancePage, rebalance_pb2.ListRebalancesResponse),
    (rebalances.RebalancePlan, rebalance_pb2.RebalancePlan),
    (reshards.Reshard, reshard_pb2.Reshard),
    (reshards.ReshardOptions, reshard_pb2.ReshardOptions),
    (reshards.ReshardPage, reshard_pb2.ListReshardsResponse),
    (reshards.ReshardPlan, reshard_pb2.ReshardPlan),
    (reshards.ReshardStep, reshard_pb2.ReshardStep),
    (undeletes.Undelete, undelete_pb2.Undelete),
    (undeletes.UndeleteOptions, undelete_pb2.UndeleteOptions),
    (undeletes.UndeletePage, undelete_pb2.ListUndeletesResponse),
    (undeletes.UndeletePlan, undelete_pb2.UndeletePlan),
    (undeletes.UndeleteShard, undelete_pb2.UndeleteShard),
    (cluster.ClusterStatus, cluster_pb2.ClusterStatus),
    (cluster.CoordinatorStatus, cluster_pb2.CoordinatorStatus),
    (cluster.AgentStatus, cluster_pb2.AgentStatus),
    (cluster.OpenOperation, cluster_pb2.OpenOperation),
    (cluster.StoreStatus, cluster_pb2.StoreStatus),
    (cluster.Identity, cluster_pb2.Identity),
    (backups.FenceEvidence, backup_pb2.FenceEvidence),
    (cluster.OpenCheck, cluster_pb2.OpenCheck),
    (cluster.OpenFence, cluster_pb2.OpenFence),
    (cluster.AgentSettings, cluster_pb2.AgentSettings),
    (garbage.ExpiredBackup, backup_pb2.ExpiredBackup),
    (garbage.KeptBackup, backup_pb2.KeptBackup),
    (garbage.GarbageCollection, backup_pb2.GarbageCollection),
    (schedules.RetentionRules, schedule_pb2.RetentionRules),
    (schedules.Schedule, schedule_pb2.Schedule),
    (schedules.ScheduleList, schedule_pb2.ListSchedulesResponse),
    (cluster.DoctorFinding, cluster_pb2.Finding),
    (cluster.DoctorFix, cluster_pb2.Fix),
    (cluster.Diagnosis, cluster_pb2.DiagnoseResponse),
    (cluster.PeerLoss, cluster_pb2.PeerLoss),
    (cluster.ForgottenPeer, cluster_pb2.ForgottenPeer),
]


def _texts_of(enum: Any) -> list[str]:
    prefix = prefix_of(enum)
    return [value.name.removeprefix(prefix) for value in enum.values if value.number]


BACKUP_STATES = _texts_of(backup_pb2.BackupState.DESCRIPTOR)
RESTORE_STATES = _texts_of(restore_pb2.RestoreState.DESCRIPTOR)
REBALANCE_STATES = _texts_of(rebalance_pb2.RebalanceState.DESCRIPTOR)
RESHARD_STATES = _texts_of(reshard_pb2.ReshardState.DESCRIPTOR)
UNDELETE_STATES = _texts_of(undelete_pb2.UndeleteState.DESCRIPTOR)
STATES = {
    backups.Backup: BACKUP_STATES,
    schedules.Schedule: BACKUP_STATES,
    rebalances.Rebalance: REBALANCE_STATES,
    reshards.Reshard: RESHARD_STATES,
    undeletes.Undelete: UNDELETE_STATES,
}


def _named_by(package: str) -> list[State]:
    """Every state that the machines of a package give to an operation."""
    text = "".join(path.read_text() for path in sorted((CORE / package).glob("*.py")))
    if "LiveAttempt" in text:
        text += (CORE / "protocol" / "live_attempt.py").read_text()
    return sorted({State[name] for name in re.findall(r"\bState\.([A-Z_]+)", text)})


@pytest.mark.parametrize(
    ("package", "kind", "message"),
    [
        ("backup", backups.Backup, backup_pb2.Backup),
        ("restore", restores.Restore, restore_pb2.Restore),
        ("rebalance", rebalances.Rebalance, rebalance_pb2.Rebalance),
        ("reshard", reshards.Reshard, reshard_pb2.Reshard),
        ("undelete", undeletes.Undelete, undelete_pb2.Undelete),
    ],
)
def test_every_state_that_a_machine_gives_can_be_sent(
    package: str, kind: Any, message: Any
) -> None:
    """A list with such an operation can be read: an etcd that went back ends backups too as
    NEEDS_OPERATOR."""
    states = _named_by(package)
    assert State.NEEDS_OPERATOR in states
    for state in states:
        sent = to_message(kind(id="one", state=state), message)
        assert from_message(sent, kind).state is state


@st.composite
def rfc3339(draw: st.DrawFn) -> str:
    moment = draw(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 -- hypothesis wants naive bounds
    stamp = Timestamp()
    stamp.FromDatetime(moment.replace(tzinfo=UTC))
    return stamp.ToJsonString()


def strategy(kind: Any, owner: type[Any], name: str) -> st.SearchStrategy[Any]:
    """Values of one field, or of a whole struct."""
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        inner = next(part for part in typing.get_args(kind) if part is not type(None))
        return st.none() | strategy(inner, owner, name)
    if origin is dict:
        return st.dictionaries(st.text(), st.text(), max_size=3)
    if origin is tuple:
        return st.lists(strategy(typing.get_args(kind)[0], owner, name), max_size=3).map(tuple)
    if kind is State:
        states = STATES.get(owner, RESTORE_STATES)
        return st.sampled_from([State(text) for text in states])
    if kind is Consistency:
        return st.sampled_from(Consistency)
    if kind is str:
        if name.endswith(("_at", "_until")) or name in {"at", "since", "until"}:
            return rfc3339()
        return st.text()
    if issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{key: strategy(hints[key], kind, key) for key in hints})
    basic: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(0, 2**32 - 1),
        float: st.floats(0, 1e15),
    }
    return basic[kind]


def test_every_value_of_the_model_is_paired_with_a_message() -> None:
    """A struct that is added without a message is found here."""
    modules = (
        archive,
        backups,
        restores,
        rebalances,
        reshards,
        undeletes,
        operations,
        cluster,
        schedules,
        garbage,
        api_values,
    )
    values = [value for module in modules for value in vars(module).values()]
    kinds = {k for k in values if isinstance(k, type) and issubclass(k, api_values.ApiValue)}
    others = {api_values.ApiValue, api_values.CommandError}  # on stderr alone
    assert kinds - others == {kind for kind, _ in PAIRS}


@pytest.mark.parametrize("kind", [kind for kind, _ in PAIRS], ids=lambda kind: kind.__name__)
def test_times_of_results_have_one_shape(kind: type[api_values.ApiValue]) -> None:
    """Only what is asked for may name a time to the millisecond."""
    if kind in {restores.MomentOptions, restores.RestoreOptions, archive.LogQuery}:
        return
    hints = typing.get_type_hints(kind, include_extras=True)
    times = {
        name: hint
        for name, hint in hints.items()
        if name == "at" or name.endswith(("_at", "_until"))
    }
    assert [n for n, hint in times.items() if hint not in (TIME, TIME | None)] == []


@pytest.mark.parametrize(("kind", "message"), PAIRS, ids=lambda p: p.__name__)
def test_both_sides_have_the_same_fields(kind: type[api_values.ApiValue], message: Any) -> None:
    assert set(kind.__struct_fields__) == set(message.DESCRIPTOR.fields_by_name)


def test_states_of_all_kinds_are_all_the_states_there_are() -> None:
    changes = *REBALANCE_STATES, *RESHARD_STATES, *UNDELETE_STATES
    known = {*BACKUP_STATES, *RESTORE_STATES, *changes}
    assert known == {state.value for state in State}


@pytest.mark.parametrize(("kind", "message"), PAIRS, ids=lambda p: p.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_a_value_survives_the_way_there_and_back(
    kind: type[api_values.ApiValue], message: Any, data: st.DataObject
) -> None:
    """Unset, zero and empty stay what they are, over the bytes on the wire."""
    value = data.draw(strategy(kind, kind, ""))
    sent = to_message(value, message).SerializeToString()
    assert from_message(message.FromString(sent), kind) == value


def test_a_state_that_a_newer_coordinator_sends_does_not_break_an_older_client() -> None:
    message = backup_pb2.Backup(id="b")
    message.state = 4000
    message.evidence.consistency = 4000
    got = from_message(message, backups.Backup)
    assert got.state is State.PENDING
    assert got.evidence is not None
    assert got.evidence.consistency is Consistency.PER_SHARD


@pytest.mark.parametrize("number", [-1, 1 << 70])
def test_a_number_that_its_field_cannot_hold_is_invalid(number: int) -> None:
    with pytest.raises(Invalid, match="invalid uploads"):
        to_message(cluster.AgentSettings(uploads=number), cluster_pb2.AgentSettings)
    with pytest.raises(Invalid, match="invalid peer id"):
        new_message(cluster_pb2.ForgetPeerRequest, force=True, peer_id=number)


def test_text_that_is_not_utf_8_is_invalid() -> None:
    with pytest.raises(Invalid, match=r"invalid id .*UTF-8"):
        new_message(backup_pb2.GetBackupRequest, id="\udcff")
    options = restores.RestoreOptions(from_cluster="\udcff")
    with pytest.raises(Invalid, match=r"invalid from cluster .*UTF-8"):
        to_message(options, restore_pb2.RestoreOptions)
