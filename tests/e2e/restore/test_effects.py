"""A restore's single steps on real peers: what is made, dropped, and never touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.collection_config import creation
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, Fenced, Refused
from cleancut.core.primitives.ids import ClusterName, OperationId
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.participant import Verify
from cleancut.core.restore.report import Creation
from cleancut.testing.memory_store import MemoryStore
from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers, wait_until
from tests.e2e.restore.attempt import BACKUP, CLUSTER, EPOCH, POINTS, Attempt

NAME = "docs v1.0"
OTHER = ClusterName("other")


@pytest.fixture
def attempt(pair: list[PeerProcess], runner: asyncio.Runner, tmp_path: Path) -> Iterator[Attempt]:
    """A group of one collection, whose name is free again."""

    async def clean() -> None:
        for name in await one.clients[0].collections():
            await one.clients[0].delete_collection(name)

    one = Attempt(runner, pair, tmp_path)
    one.run(clean())
    one.run(one.make_group(NAME, aliases=("live", "a/b")))
    yield one
    one.run(clean())
    one.run(one.close())


def _uuid(attempt: Attempt) -> str | None:
    found = attempt.run(attempt.clients[0].telemetry()).collections.get(NAME)
    return found.uuid if found else None


def test_every_point_comes_back(attempt: Attempt) -> None:
    """Created with its index, recovered, verified by each agent, published with its aliases."""

    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        assert sorted(task.shard_id for task in tasks) == [0, 1]
        info = await attempt.clients[0].collection(NAME)
        assert list(info["payload_schema"]) == ["number"]
        await attempt.recover(tasks)
        counts = []
        for task in tasks:
            verified = await attempt.as_agent(task.peer_id, Verify(EPOCH, (task,), "t"))
            assert verified.readings.numbers[0] is not None
            counts.append(task.count)
        assert sum(count or 0 for count in counts) == POINTS
        await attempt.reveal()
        await attempt.reveal()
        aliases = await attempt.clients[1].aliases()
        assert aliases == {"live": NAME, "a/b": NAME}
        assert (await attempt.clients[0].cluster_metadata())["app"] == {"v": 1}

    attempt.run(body())


def test_creating_twice_makes_one_collection(attempt: Attempt) -> None:
    """A new leader goes on with what its predecessor made."""
    attempt.run(attempt.begin())
    first = attempt.run(attempt.create())
    uuid = _uuid(attempt)
    assert attempt.run(attempt.create()) == first
    assert _uuid(attempt) == uuid


def test_a_rollback_drops_what_was_made(attempt: Attempt) -> None:
    attempt.run(attempt.begin())
    attempt.run(attempt.create())
    attempt.run(attempt.undo())
    assert _uuid(attempt) is None

    async def gone() -> bool:
        told = [await client.telemetry() for client in attempt.clients]
        return not any(NAME in one.collections for one in told)

    attempt.run(wait_until(gone, 10.0, "every peer has dropped it"))  # until then it is refused
    attempt.run(attempt.undo())


@pytest.mark.adversity("rollback of a collection that a stranger has written to")
@pytest.mark.parametrize("peers", [1, 2])
def test_a_rollback_keeps_what_a_stranger_wrote_into_what_was_made(
    attempt: Attempt, peers: int
) -> None:
    """The uuid is ours, and the points in it are nowhere else: also at a peer that the coordinator
    has no URL of."""
    attempt.run(attempt.begin())
    attempt.run(attempt.create())
    uuid = _uuid(attempt)
    attempt.run(attempt.upsert(NAME, range(7)))
    clients = list(attempt.clients)
    del attempt.clients[peers:]
    with pytest.raises(Refused, match="has not put there"):
        attempt.run(attempt.undo())
    attempt.clients[:] = clients
    assert _uuid(attempt) == uuid
    assert attempt.run(attempt.count(NAME)) == 7


def test_a_rollback_drops_what_was_recovered(attempt: Attempt) -> None:
    """All points are ours: as many in each shard as the backup holds."""
    attempt.run(attempt.begin())
    tasks = attempt.run(attempt.create())
    attempt.run(attempt.recover(tasks))
    attempt.run(attempt.move(Phase.ROLLBACK))
    attempt.run(attempt.undo())
    assert _uuid(attempt) is None


def test_a_rollback_keeps_what_an_alias_points_to(attempt: Attempt) -> None:
    """Somebody has put it to use already."""

    async def point() -> None:
        create = {"create_alias": {"alias_name": "mine", "collection_name": NAME}}
        await attempt.clients[0].change_aliases([create])

    attempt.run(attempt.begin())
    attempt.run(attempt.create())
    uuid = _uuid(attempt)
    attempt.run(point())
    with pytest.raises(Refused, match="alias 'mine' points to"):
        attempt.run(attempt.undo())
    assert _uuid(attempt) == uuid


@pytest.mark.adversity("rollback after a stranger made the collection again")
def test_a_rollback_leaves_what_took_the_place_of_what_was_made(attempt: Attempt) -> None:
    """Deleted and made anew by somebody: another uuid, so not ours."""

    async def replace_it() -> None:
        client = attempt.clients[0]
        info = await client.collection(NAME)
        await client.delete_collection(NAME)
        await client.create_collection(NAME, creation(info))

    attempt.run(attempt.begin())
    attempt.run(attempt.create())
    attempt.run(replace_it())
    foreign = _uuid(attempt)
    attempt.run(attempt.undo())
    assert _uuid(attempt) == foreign
    attempt.run(attempt.move(Phase.CREATE))
    with pytest.raises(Refused, match="somebody else"):
        attempt.run(attempt.create())


def test_the_group_of_another_cluster_is_held_while_it_is_restored(attempt: Attempt) -> None:
    """Plan, packs and tars come from that cluster's catalog; the hold ends with the restore."""
    request = RestoreRequest(backup=BACKUP, from_cluster=OTHER)
    hold = Paths(OTHER).hold(BACKUP, OperationId(""))

    async def body() -> None:
        await attempt.begin(request=request)
        assert hold in attempt.store.objects
        await attempt.undo()
        assert hold not in attempt.store.objects
        for _ in range(2):  # an attempt before anything is touched may be repeated
            await attempt.begin(request=request)
        assert hold in attempt.store.objects
        tasks = await attempt.create()
        assert {task.source for task in tasks} == {OTHER}
        await attempt.recover(tasks)
        await attempt.review(tasks)
        await attempt.reveal()
        assert await attempt.count(NAME) == POINTS
        assert hold not in attempt.store.objects

    attempt.store.objects = {
        path.replace(f"{CLUSTER}/", f"{OTHER}/", 1): data
        for path, data in attempt.store.objects.items()
    }
    attempt.run(body())


async def _ask(attempt: Attempt) -> None:
    """The store knows that the collection was asked for, and no more: as after a crash."""
    record = Creation(epoch=EPOCH, collection=NAME, outcome="asked")
    await attempt.store.put(f"{CLUSTER}/staged/{EPOCH:012d}/{'a' * 64}.json", encode(record))


async def _create_as_the_group_has_it(attempt: Attempt) -> None:
    draft = await attempt.coordinator._draft(EPOCH, attempt.draft)
    await attempt.clients[0].create_collection(NAME, creation(draft.collections[0].info))


def test_a_crash_between_create_and_record_leaves_no_orphan(attempt: Attempt) -> None:
    """Empty, as asked, and known to have been asked for: it is taken over, and rolled back too."""
    attempt.run(attempt.begin())
    attempt.run(_ask(attempt))
    attempt.run(_create_as_the_group_has_it(attempt))
    uuid = _uuid(attempt)
    attempt.run(attempt.create())
    assert _uuid(attempt) == uuid
    attempt.run(attempt.undo())
    assert _uuid(attempt) is None


def test_an_orphan_is_dropped_by_a_rollback_alone(attempt: Attempt) -> None:
    attempt.run(attempt.begin())
    attempt.run(_ask(attempt))
    attempt.run(_create_as_the_group_has_it(attempt))
    attempt.run(attempt.undo())
    assert _uuid(attempt) is None


@pytest.mark.adversity("rollback next to a stranger's points")
def test_points_of_others_are_never_dropped(attempt: Attempt) -> None:
    """What was asked for, is there, and holds points: neither taken over nor dropped."""
    attempt.run(attempt.begin())
    attempt.run(_ask(attempt))
    attempt.run(_create_as_the_group_has_it(attempt))
    attempt.run(attempt.upsert(NAME, range(3)))
    uuid = _uuid(attempt)
    with pytest.raises(Refused, match="holds points"):
        attempt.run(attempt.undo())
    attempt.run(attempt.move(Phase.CREATE))
    with pytest.raises(Refused, match="somebody else"):
        attempt.run(attempt.create())
    assert _uuid(attempt) == uuid


@pytest.mark.adversity("rollback next to a stranger's points on another peer")
def test_points_at_another_peer_are_never_dropped(attempt: Attempt) -> None:
    """The peer that is asked holds none of the stranger's points: all shards and peers count."""

    async def local() -> int:
        client = attempt.clients[0]
        shards = (await client.placement(NAME)).local()
        return sum([await client.count(NAME, replica.shard_id) for replica in shards])

    attempt.run(attempt.begin())
    attempt.run(_ask(attempt))
    attempt.run(_create_as_the_group_has_it(attempt))
    attempt.run(attempt.upsert(NAME, range(1)))
    if attempt.run(local()):
        attempt.clients.reverse()
    assert attempt.run(local()) == 0
    uuid = _uuid(attempt)
    with pytest.raises(Refused, match="holds points"):
        attempt.run(attempt.undo())
    attempt.run(attempt.move(Phase.CREATE))
    with pytest.raises(Refused, match="somebody else"):
        attempt.run(attempt.create())
    assert _uuid(attempt) == uuid


def test_a_collection_that_was_not_asked_for_is_not_touched(attempt: Attempt) -> None:
    """Even an empty one with the very same configuration."""
    attempt.run(attempt.begin())
    attempt.run(_create_as_the_group_has_it(attempt))
    uuid = _uuid(attempt)
    with pytest.raises(Refused, match="somebody else"):
        attempt.run(attempt.create())
    attempt.run(attempt.undo())
    assert _uuid(attempt) == uuid


def test_a_leader_that_wakes_late_creates_nothing(attempt: Attempt) -> None:
    """Its successor has gone on: the attempt is no longer where the effect belongs."""
    attempt.run(attempt.begin())
    attempt.run(attempt.move(Phase.ROLLBACK))
    with pytest.raises(Fenced):
        attempt.run(attempt.create())
    assert _uuid(attempt) is None


def test_a_plan_with_an_blocker_touches_nothing(attempt: Attempt) -> None:
    async def body() -> None:
        vectors = {"size": 3, "distance": "Dot"}
        await attempt.clients[0].create_collection(NAME, {"vectors": vectors})
        with pytest.raises(Refused, match="exists; restore in its place"):
            await attempt.begin()

    attempt.run(body())


def test_a_missing_pack_is_found_before_anything_is_touched(attempt: Attempt) -> None:
    pack = next(path for path in attempt.store.objects if "/packs/" in path)
    del attempt.store.objects[pack]
    with pytest.raises(Corrupt, match=r"is damaged: .*missing"):
        attempt.run(attempt.begin())
    assert _uuid(attempt) is None


def test_a_damaged_pack_fails_the_recovery_and_names_it(attempt: Attempt) -> None:
    """The store's own words, not Qdrant's about a short body; the shard stays empty."""

    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        for path, data in attempt.store.objects.items():
            if "/packs/" in path:
                middle = len(data) // 2
                damaged = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
                attempt.store.objects[path] = damaged
        with pytest.raises(Corrupt, match="damaged"):
            await attempt.recover(tasks)
        for task in tasks:
            client = await attempt.client_of(task.peer_id)
            assert await client.count(NAME, task.shard_id) in {0, task.count}

    attempt.run(body())


def test_a_wrong_checksum_is_refused_by_qdrant(attempt: Attempt) -> None:
    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        wrong = replace(tasks[0], tar_sha256="0" * 64)
        with pytest.raises(Corrupt, match="checksum"):
            await attempt.recover([wrong])

    attempt.run(body())


def test_points_that_are_there_before_fail_the_restore(attempt: Attempt) -> None:
    """A client writes while its collection is being restored: a restarted agent finds that too, and
    does not mistake restored points for a client's."""

    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        await attempt.recover(tasks)
        await attempt.recover(tasks, empty=False)
        await attempt.upsert(NAME, range(1_000_000, 1_000_050))
        for empty in (True, False):
            with pytest.raises(Refused, match="somebody writes to it"):
                await attempt.recover(tasks, empty=empty)

    attempt.run(body())


def test_a_shard_with_too_few_points_is_not_verified(attempt: Attempt) -> None:
    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        await attempt.recover(tasks)
        more = replace(tasks[0], count=(tasks[0].count or 0) + 1)
        with pytest.raises(Corrupt, match="in the backup"):
            await attempt.as_agent(more.peer_id, Verify(EPOCH, (more,), "t"))

    attempt.run(body())


def test_points_of_another_shard_are_not_verified(attempt: Attempt) -> None:
    """The count alone would look right; routing tells."""

    async def body() -> None:
        await attempt.begin()
        one, other = sorted(await attempt.create(), key=lambda task: task.shard_id)
        wrong = replace(one, shard_id=other.shard_id, peer_id=other.peer_id)
        await attempt.recover([wrong])
        with pytest.raises(Corrupt, match="belong into another shard"):
            await attempt.as_agent(wrong.peer_id, Verify(EPOCH, (wrong,), "t"))

    attempt.run(body())


class _OneGate(MemoryStore):
    """The first read of a pack waits for `gate`."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if "/packs/" in path and not self.reached.is_set():
            self.reached.set()
            await self.gate.wait()
        return await super().get(path, offset, length)


def test_a_peer_that_dies_while_it_pulls_pulls_again(attempt: Attempt) -> None:
    """Killed in the middle of a tar: once it is back, the same tar is recovered anew."""

    async def body() -> None:
        await attempt.begin()
        tasks = await attempt.create()
        task = tasks[0]
        gated = attempt.store = _OneGate(attempt.store.objects)
        client = await attempt.client_of(task.peer_id)
        process = next(peer for peer in attempt.peers if peer.url == client.url)
        async with asyncio.TaskGroup() as group:
            pulling = group.create_task(attempt.recover([task]))
            await gated.reached.wait()
            await process.kill()
            await process.start()
            gated.gate.set()
            await pulling
        assert await client.count(NAME, task.shard_id) == task.count

    attempt.run(body())


def test_a_single_qdrant_without_cluster_mode_is_restored(
    kind: Kind, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """It has no peers, and shards on a peer whose id is made up; its one agent recovers them."""

    async def body() -> None:
        async with launch_peers(1, tmp_path / "peers", kind, standalone=True) as alone:
            attempt = Attempt(runner, alone, tmp_path)
            try:
                await attempt.make_group(NAME)
                await attempt.begin()
                tasks = await attempt.create()
                await attempt.recover(tasks)
                for task in tasks:
                    await attempt.as_agent(task.peer_id, Verify(EPOCH, (task,), "t"))
                assert sum(task.count or 0 for task in tasks) == POINTS
                await attempt.undo()
                assert await attempt.clients[0].collections() == []
            finally:
                await attempt.close()

    runner.run(body())
