"""One bad key in etcd stops nothing but itself; members fit into etcd's requests."""

from __future__ import annotations

import pytest

from cleancut.core.maintenance.garbage import LastGc
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.commands import Decide, Persist
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Group, Operation, ShardTask
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.progress import read_progress
from cleancut_coordinator.etcd_state import (
    read_all,
    read_operations,
    read_record,
    read_sessions,
)
from cleancut_coordinator.leader.cluster_id import read_identities
from cleancut_coordinator.leader.election import read_leader
from cleancut_coordinator.leader.high_water import read_position
from cleancut_coordinator.leader.state import LeaderState
from tests.unit.coordinator.leader.test_state import context, lead, run, vote

BAD = b"\xff{}"


@run
async def test_what_cannot_be_decoded_is_skipped_and_reported_once() -> None:
    """In votes, sessions, fences, members, operations and groups alike."""
    at = context()
    reported: list[str] = []
    at.skipped.report = lambda key, _cause: reported.append(key)
    state = LeaderState(at, await lead(at))
    epoch = Epoch(5)
    ctl = Ctl(phase=Phase.UPLOAD, epoch=epoch, operation=OperationId("b-1"))
    bad = [
        f"{at.keys.all_votes}boom",
        at.keys.vote(epoch, "UPLOAD", AgentName("a")),
        at.keys.session(AgentName("a")),
        at.keys.fence(epoch),
        at.keys.member(epoch, AgentName("a")),
        at.keys.operation("b-1"),
        at.keys.group(epoch),
    ]
    for key in bad:
        await at.etcd.txn([], [Put(key, BAD)])
    await at.etcd.txn([], [Put(at.keys.ctl, encode(ctl))])
    good = await vote(at, "b", "d")

    for _ in range(2):
        taken = await state.load()
        assert taken.votes == {("UPLOAD", AgentName("b")): good}
        assert (taken.members, taken.fence) == ({}, None)
        assert taken.operation is not None
        assert await state.sessions() == {}
        assert await read_sessions(at) == {}
        assert await read_operations(at) == []
        assert await read_all(at, at.keys.groups, Group) == []
        assert next(iter(await state.all_pending()), None) is None
        await state.next_epoch()
    assert len(reported) == len(set(reported))
    assert set(bad[1:]) <= set(reported)


@run
async def test_only_ctl_is_fatal() -> None:
    """And its error names the key."""
    at = context()
    state = LeaderState(at, await lead(at))
    await at.etcd.txn([], [Put(at.keys.ctl, BAD)])
    with pytest.raises(Corrupt, match="ctl"):
        await state.load()


@run
async def test_a_vote_of_a_stranger_does_not_hold_up_the_decision() -> None:
    at = context()
    state = LeaderState(at, await lead(at))
    ctl = Ctl(phase=Phase.UPLOAD, epoch=Epoch(5))
    assert await state.persist(Persist(ctl), Epoch(5))
    good = await vote(at, "a", "d")
    await vote(at, "stranger", "x")
    committed = Ctl(phase=Phase.COMMIT, epoch=Epoch(5), manifest="m")
    voters = (AgentName("a"),)
    assert await state.decide(Decide(committed, "UPLOAD", voters), {AgentName("a"): good})


@run
async def test_members_are_written_in_parts_that_etcd_takes() -> None:
    """Each request stays under a third of etcd's default limit, however long names are."""
    at = context()
    state = LeaderState(at, await lead(at))
    sizes: list[int] = []
    txn = at.etcd.txn

    async def measured(guards, ops):  # type: ignore[no-untyped-def]
        sizes.append(sum(len(op.value) for op in ops if isinstance(op, Put)))
        return await txn(guards, ops)

    at.etcd.txn = measured  # type: ignore[method-assign]
    task = ShardTask(collection="c" * 190, shard_id=ShardId(0), peer_id=PeerId(1), recipe="r" * 64)
    members = {
        AgentName(f"a{index}"): EpochMember(session=FencingToken(1), tasks=(task,) * 200)
        for index in range(30)
    }
    operation = Operation(
        id=OperationId("b-1"), kind=OperationKind.BACKUP, state=State.PREPARING, request="{}"
    )
    ctl = Ctl(phase=Phase.PREPARE, epoch=Epoch(5))
    assert await state.persist(Persist(ctl, operation, members), Epoch(5))
    assert max(sizes) < 500_000
    assert len((await at.etcd.list(at.keys.members(Epoch(5)))).items) == len(members)


@run
async def test_no_other_key_ends_a_leader() -> None:
    """The counter of epochs, the id, settings, schedules, the gc's own records, progress."""
    at = context()
    reported: list[str] = []
    at.skipped.report = lambda key, _cause: reported.append(key)
    state = LeaderState(at, await lead(at))
    keys = at.keys
    single = [keys.last_gc, keys.gc, keys.seen_peers, keys.settings, keys.schedule("nightly")]
    progress = keys.progress(Epoch(5)) + "a"
    for key in [*single, keys.epoch, keys.id, progress]:
        await at.etcd.txn([], [Put(key, BAD)])
    for key in single:
        assert await read_record(at, key, LastGc) is None
    assert (await read_position(at)).epoch == 0
    assert (await read_identities(at)).cluster_id
    assert await read_progress(at, Epoch(5)) == ()
    assert await state.next_epoch() == 1  # the store's word counts
    assert await state.next_epoch() == 2
    assert {*single, keys.epoch, progress} <= set(reported)


@run
async def test_the_leader_s_own_record_is_fatal() -> None:
    at = context()
    await at.etcd.txn([], [Put(at.keys.leader, BAD)])
    with pytest.raises(Corrupt, match="leader"):
        await read_leader(at)
