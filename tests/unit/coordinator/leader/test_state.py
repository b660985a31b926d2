"""What a leader writes is guarded: a stale token, a stale ctl or a changed vote writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps

import pytest
from msgspec.structs import replace

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Fenced, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, FencingToken, OperationId
from cleancut.core.protocol.commands import Decide, Persist
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation, Vote
from cleancut.core.protocol.followers import rebalance_after, reshard_ids_after
from cleancut.core.protocol.requests import BackupRequest, RebalanceRequest, ReshardRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Created, Delete, Put
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_coordinator.api.cluster_status import read_status
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import cluster_id, requests
from cleancut_coordinator.leader.state import LeaderState

Body = Callable[[], Awaitable[None]]


def run(test: Body) -> Callable[[], None]:
    """The test on a loop of its own."""

    @wraps(test)
    def body() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    return body


def context() -> CoordinatorContext:
    clock = SystemClock()
    return CoordinatorContext(
        name="c0",
        store_url="memory",
        keys=Keys(ClusterName("prod")),
        paths=Paths(ClusterName("prod")),
        etcd=MemoryEtcd(clock),
        store=MemoryStore(),
        peers=(),
        clock=clock,
    )


async def lead(at: CoordinatorContext) -> FencingToken:
    key = at.keys.leader
    await at.etcd.txn([], [Delete(key)])
    result = await at.etcd.txn([Created(key, 0)], [Put(key, b"{}")])
    assert result.applied
    return FencingToken(result.revision)


async def vote(at: CoordinatorContext, agent: str, document: str) -> Vote:
    cast = Vote(session=FencingToken(1), yes=True, document=document, nonce=document)
    key = at.keys.vote(Epoch(5), "UPLOAD", AgentName(agent))
    await at.etcd.txn([], [Put(key, encode(cast))])
    return cast


@run
async def test_a_deposed_leader_writes_nothing() -> None:
    """Its token is old: nothing of what it persists is applied, and reading tells it so."""
    at = context()
    old = LeaderState(at, await lead(at))
    await old.load()
    await lead(at)
    assert not await old.persist(Persist(Ctl(phase=Phase.PREPARE, epoch=Epoch(5))), Epoch(5))
    assert await at.etcd.get(at.keys.ctl) is None
    with pytest.raises(Fenced):
        await old.load()
    with pytest.raises(Fenced):
        await old.next_epoch()


@run
async def test_members_are_written_with_ctl_or_not_at_all() -> None:
    """More members than one transaction takes, and each is found by the next leader."""
    at = context()
    leader_state = LeaderState(at, await lead(at))
    await leader_state.load()
    members = {AgentName(f"a{n:03d}"): EpochMember(session=FencingToken(n + 1)) for n in range(230)}
    ctl = Ctl(phase=Phase.PREPARE, epoch=Epoch(5))
    assert await leader_state.persist(Persist(ctl, None, members), Epoch(5))
    took = await leader_state.load()
    assert {name: member.session for name, member in took.members.items()} == {
        name: member.session for name, member in members.items()
    }


@run
async def test_a_group_is_decided_only_on_the_votes_that_were_counted() -> None:
    """A vote that changed, came or went since it was counted stops the commit."""
    at = context()
    leader_state = LeaderState(at, await lead(at))
    await leader_state.load()
    ctl = Ctl(phase=Phase.COMMIT, epoch=Epoch(5), operation=OperationId("b-1"), manifest="f" * 64)
    await leader_state.persist(Persist(Ctl(phase=Phase.UPLOAD, epoch=Epoch(5))), Epoch(5))
    first = await vote(at, "a", "1")
    decide = Decide(ctl, "UPLOAD", (AgentName("a"), AgentName("b")))
    other = await vote(at, "b", "2")
    counted = {AgentName("a"): first, AgentName("b"): other}
    await vote(at, "b", "3")
    assert not await leader_state.decide(decide, counted)
    await at.etcd.txn([], [Delete(at.keys.vote(Epoch(5), "UPLOAD", AgentName("b")))])
    assert not await leader_state.decide(decide, counted)
    assert await at.etcd.get(at.keys.group(Epoch(5))) is None
    counted[AgentName("b")] = await vote(at, "b", "4")
    assert await leader_state.decide(decide, counted)
    assert not await leader_state.decide(decide, counted), "a group is decided once"


@run
async def test_epochs_grow_over_the_life_of_etcd() -> None:
    """A new etcd goes on where the store ended, aborted epochs included."""
    at = context()
    leader_state = LeaderState(at, await lead(at))
    assert await leader_state.next_epoch() == 1
    await at.store.put(at.paths.group(Epoch(41)), b"{}")
    await at.store.put(at.paths.probe(Epoch(43), "a"), b"x")
    assert await leader_state.next_epoch() == 44
    assert await leader_state.next_epoch() == 45


@run
async def test_a_request_is_recorded_once() -> None:
    """The same id and content give the same operation; other content is refused."""
    at = context()
    token = await lead(at)
    asked = BackupRequest(collections=("docs",))
    first = await requests.record(at, token, OperationKind.BACKUP, request=asked, request_id="r-1")
    assert (
        await requests.record(at, token, OperationKind.BACKUP, request=asked, request_id="r-1")
    ).id == first.id
    with pytest.raises(Invalid, match="other content"):
        await requests.record(
            at, token, OperationKind.BACKUP, request=BackupRequest(), request_id="r-1"
        )
    with pytest.raises(NotFound):
        await requests.load(at, first.id, OperationKind.RESTORE)
    leader_state = LeaderState(at, token)
    pending = next(iter(await leader_state.all_pending()), None)
    assert pending is not None
    assert pending.id == first.id
    await leader_state.cancel_pending(first.id)
    assert (await requests.load(at, first.id, OperationKind.BACKUP)).state is State.ABORTED


@run
async def test_a_store_of_another_cluster_is_refused_until_adopted() -> None:
    """Two clusters never write into one catalog by accident."""
    mine, theirs = context(), context()
    theirs = CoordinatorContext(
        name="c1",
        store_url="memory",
        keys=theirs.keys,
        paths=theirs.paths,
        etcd=theirs.etcd,
        store=mine.store,
        peers=(),
        clock=theirs.clock,
    )
    await cluster_id.establish(mine, await lead(mine))
    await cluster_id.check_store_owner(mine)
    now = await cluster_id.establish(theirs, await lead(theirs))
    assert not now.equal
    with pytest.raises(Refused, match="another cluster") as told:
        await cluster_id.check_store_owner(theirs)
    assert "adopt" in told.value.hint
    assert (await cluster_id.write_owner(theirs, now)).equal
    with pytest.raises(Refused):
        await cluster_id.check_store_owner(mine)


@run
async def test_an_empty_store_is_not_taken_by_a_cluster_that_has_backups_elsewhere() -> None:
    """A disk that is not mounted, or a typing error in the URL: backups would go there, and would
    be gone once the right one is back."""
    at = context()
    token = await lead(at)
    assert (await cluster_id.establish(at, token)).equal
    assert (await cluster_id.establish(at, token)).equal
    await LeaderState(at, token).next_epoch()
    assert isinstance(at.store, MemoryStore)
    at.store.objects.clear()
    now = await cluster_id.establish(at, token)
    assert (now.owner_number, now.equal) == (0, False)
    with pytest.raises(Refused, match="the store is empty") as told:
        await cluster_id.check_store_owner(at)
    assert "mounted" in told.value.hint
    assert (await cluster_id.write_owner(at, now)).equal  # as `cleancut adopt` does
    await cluster_id.check_store_owner(at)


@run
async def test_a_restore_and_what_follows_it_are_recorded_together() -> None:
    """In one transaction, so that no crash loses the others; a repeat adds none, and a leader
    whose token is old records neither."""
    at = context()
    token = await lead(at)
    asked = BackupRequest()

    resharded = ReshardRequest(collection="docs", shards=3)
    add_followers = partial(
        requests.put_followers, at, reshards=(resharded, resharded), rebalance=True
    )

    async def ask(under: FencingToken, request_id: str) -> Operation:
        return await requests.record(
            at,
            under,
            OperationKind.RESTORE,
            request=asked,
            request_id=request_id,
            also=add_followers,
        )

    first = await ask(token, "r")
    assert (await ask(token, "r")).id == first.id
    items = (await at.etcd.list(at.keys.operations)).items
    records = {one.id: one for one in (decode(Operation, i.value, i.key) for i in items)}
    follower = records.pop(rebalance_after(first.id))
    reshards = [records.pop(name) for name in reshard_ids_after(first.id, 2)]
    assert set(records) == {first.id}
    assert [one.after for one in (*reshards, follower)] == [
        first.id,
        *(one.id for one in reshards),
    ]
    assert follower.kind is OperationKind.REBALANCE
    assert decode(RebalanceRequest, follower.request.encode(), "").after == first.id
    for one in reshards:
        assert one.kind is OperationKind.RESHARD
        asked_after = decode(ReshardRequest, one.request.encode(), "")
        assert asked_after == replace(resharded, after=first.id)
    assert len({item.mod_revision for item in items}) == 1
    with pytest.raises(Fenced):
        await ask(FencingToken(token + 1), "other")
    assert len((await at.etcd.list(at.keys.operations)).items) == 4


@run
async def test_the_status_says_that_there_is_no_agent_at_all() -> None:
    """Peers are known by agents alone, so without any there would be nothing to warn of."""
    warnings = (await read_status(context())).warnings
    assert any("no agent is connected" in one for one in warnings)


@run
async def test_what_follows_an_operation_waits_for_its_end() -> None:
    """Also while that is pending once more, younger or not: a retry must not be overtaken."""
    at = context()
    token = await lead(at)
    leader_state = LeaderState(at, token)
    await leader_state.load()
    asked = BackupRequest()
    first = await requests.record(
        at,
        token,
        OperationKind.RESTORE,
        request=asked,
        request_id="r",
        also=partial(requests.put_followers, at, rebalance=True),
    )
    name = rebalance_after(first.id)
    after = await requests.load(at, name, OperationKind.REBALANCE)
    for state in (State.PENDING, State.RECOVERING, State.ROLLING_BACK, State.PENDING):
        younger = replace(first, state=state, created_at="9999-01-01T00:00:00.000Z")
        assert await leader_state.persist(Persist(operation=younger), Epoch(1))
        found = next(iter(await leader_state.all_pending()), None)
        assert found is None or found.id == first.id
    ended = replace(first, state=State.DONE)
    assert await leader_state.persist(Persist(operation=ended), Epoch(1))
    found = next(iter(await leader_state.all_pending()), None)
    assert found is not None
    assert found.id == after.id


@run
async def test_between_two_steps_others_go_first_and_a_cancel_says_the_number() -> None:
    """A reshard that has made a step waits behind a younger backup, and may be cancelled there."""
    at = context()
    token = await lead(at)
    leader_state = LeaderState(at, token)
    asked = ReshardRequest(collection="docs", shards=6)
    reshard = await requests.record(
        at, token, OperationKind.RESHARD, request=asked, request_id="r-1"
    )
    found = next(iter(await leader_state.all_pending()), None)
    assert found is not None
    assert found.id == reshard.id
    backup = await requests.record(
        at, token, OperationKind.BACKUP, request=BackupRequest(), request_id="r-2"
    )
    stepped = replace(found, turns=1, reached=3)
    await leader_state.put(at.keys.operation(reshard.id), stepped)
    after = next(iter(await leader_state.all_pending()), None)
    assert after is not None
    assert after.id == backup.id
    await leader_state.cancel_pending(reshard.id)
    over = await leader_state.operation(reshard.id)
    assert over is not None
    assert over.state is State.CANCELED
    assert over.failure is not None
    assert over.failure.message == "cancelled on request; 'docs' has 3 shards"
