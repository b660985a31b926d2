"""Progress as it is shown."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, OperationId, PeerId
from cleancut.core.protocol.etcd_records import (
    Awaited,
    Ctl,
    EpochMember,
    Operation,
    ProgressRecord,
    Session,
    Vote,
)
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.progress import read_ahead, read_behind, read_progress
from tests.unit.coordinator.leader.test_state import context, run


@run
async def test_what_is_done_is_never_more_than_all() -> None:
    """A shard grows while it is stored, or is sent again; an estimate that is exceeded is none."""
    at = context()
    for done, total, shown in ((5, 9, 9), (9, 5, 0), (7, 0, 0)):
        record = ProgressRecord(phase="UPLOAD", done_bytes=done, total_bytes=total, rate=1)
        await at.etcd.txn([], [Put(at.keys.progress(Epoch(5)) + "a1", encode(record))])
        (progress,) = await read_progress(at, Epoch(5))
        assert (progress.bytes_done, progress.bytes_total) == (done, shown)


@run
async def test_a_pending_operation_says_what_it_waits_for() -> None:
    """Agents, another operation with its phase, or the restore that it follows; then nothing."""
    at = context()
    mine = Operation(
        id=OperationId("op-2"), kind=OperationKind.RESHARD, state=State.PENDING, request="{}"
    )
    after = replace(mine, after=OperationId("r-1"))
    assert await read_behind(at, mine) == ()
    assert await read_behind(at, after) == ("waits for the end of r-1",)
    for kind, shown in (
        (OperationKind.BACKUP, "waits behind backup #14 (UPLOAD)"),
        (OperationKind.RESTORE, "waits behind restore op-1 (UPLOAD)"),
    ):
        other = Ctl(epoch=Epoch(14), phase=Phase.UPLOAD, kind=kind, operation=OperationId("op-1"))
        await at.etcd.txn([], [Put(at.keys.ctl, encode(other))])
        assert await read_behind(at, after) == (shown,)
        assert await read_behind(at, replace(mine, id=OperationId("op-1"))) == ()
    asked = replace(mine, awaited=Awaited(what="waits for agent a1"))
    assert await read_behind(at, asked) == ("waits for agent a1",)
    assert await read_behind(at, replace(asked, state=State.DONE)) == ()


@run
async def test_a_new_operation_would_wait_for_what_runs_and_what_is_pending() -> None:
    """Not for one that waits for agents, which others overtake, and not for one that is over."""
    at = context()
    assert await read_ahead(at) == ()
    pending = Operation(
        id=OperationId("r-1"), kind=OperationKind.RESTORE, state=State.PENDING, request="{}"
    )
    overtaken = replace(pending, id=OperationId("r-2"), awaited=Awaited(what="agent a1"))
    over = replace(pending, id=OperationId("r-3"), state=State.DONE)
    for one in (pending, overtaken, over):
        await at.etcd.txn([], [Put(at.keys.operation(one.id), encode(one))])
    running = Ctl(epoch=Epoch(14), phase=Phase.UPLOAD, operation=OperationId("b-1"))
    await at.etcd.txn([], [Put(at.keys.ctl, encode(running))])
    expected = ("waits behind backup #14 (UPLOAD)", "waits behind pending restore r-1")
    assert await read_ahead(at) == expected


@run
async def test_an_agent_that_is_awaited_and_has_no_session_is_away() -> None:
    """Its progress goes with its session; one that has voted is not awaited any more."""
    at, epoch = context(), Epoch(5)
    member = EpochMember(session=FencingToken(1))
    vote = Vote(session=FencingToken(1), yes=True, read_bytes=9, stored_bytes=6)
    session = Session(name=AgentName("a3"), version="1", peer_id=PeerId(3))
    puts = [
        Put(at.keys.member(epoch, AgentName(name)), encode(member)) for name in ("a1", "a2", "a3")
    ]
    puts += [
        Put(at.keys.vote(epoch, "UPLOAD", AgentName("a1")), encode(vote)),
        Put(at.keys.session(AgentName("a3")), encode(session)),
    ]
    await at.etcd.txn([], puts)
    shown = await read_progress(at, epoch, Phase.UPLOAD)
    assert [(one.agent, one.phase) for one in shown] == [("a1", "UPLOAD"), ("a2", "UPLOAD (away)")]
    assert await read_progress(at, epoch) == ()


@run
async def test_an_agent_that_has_voted_has_done_its_part() -> None:
    """It reports every two seconds, so its last report is of before its end."""
    at, epoch = context(), Epoch(5)
    record = ProgressRecord(phase="UPLOAD", done_bytes=4, stored_bytes=2, to_store_bytes=3)
    vote = Vote(session=FencingToken(1), yes=True, read_bytes=9, stored_bytes=6)
    for agent in ("a1", "a2"):
        await at.etcd.txn([], [Put(at.keys.progress(epoch) + agent, encode(record))])
    path = at.keys.vote(epoch, Phase.UPLOAD.value, AgentName("a2"))
    await at.etcd.txn([], [Put(path, encode(vote))])
    going, ended = await read_progress(at, epoch, Phase.UPLOAD)
    assert (going.agent, going.bytes_stored, going.bytes_to_store) == ("a1", 2, 3)
    assert (ended.agent, ended.bytes_done, ended.bytes_total) == ("a2", 9, 9)
    assert (ended.bytes_stored, ended.bytes_to_store) == (6, 6)
