"""The API over a real loopback server: leaders, standbys, deadlines, bugs, TLS, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from cleancut.api.backups import Backup, Seed
from cleancut.api.interface import PageRequest
from cleancut.client.client import Client
from cleancut.core.primitives.errors import (
    CleancutError,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.protocol.bounds import MAX_ATTEMPTS, MAX_STREAMS
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import State
from cleancut.rpc.channel import check_plaintext
from cleancut.rpc.server import Listen
from cleancut.runtime.addresses import is_loopback
from cleancut.testing.memory_api import Ending, MemoryApi
from cleancut.v1 import backup_pb2, backup_pb2_grpc, restore_pb2, restore_pb2_grpc
from cleancut_coordinator.api.servicers import SERVICES, serve_api
from tests.support.addresses import dead_address

LOOPBACK = Listen("127.0.0.1:0", grace_s=1.0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


def test_a_backup_is_made_watched_and_found_by_id_and_by_epoch() -> None:
    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            Client([address]) as client,
        ):
            made = await client.create_backup(BackupRequest(collections=("a",)), "r-1")
            states = [seen.state async for seen in client.watch_backup(made.id)]
            assert (states[0], states[-1]) == (State.PREPARING, State.COMMITTED)
            done = await client.get_backup(made.id)
            assert await client.get_backup(str(done.epoch)) == done
            assert done.evidence is not None
            assert done.evidence.shards[0].ops_after == 6

    run(scenario())


def test_a_seed_ends_as_one_and_a_coordinator_says_how_many_streams() -> None:
    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            Client([address]) as client,
        ):
            made = await client.seed_backup(SeedRequest(streams=0), "r-1")
            assert made.seed == Seed(streams=SeedRequest().streams)
            last = [seen async for seen in client.watch_backup(made.id)][-1]
            assert (last.state, last.evidence) == (State.SEEDED, None)
            assert last.seed == Seed(streams=2, shards=2, read=4096)
            with pytest.raises(Invalid, match="streams: 33"):
                await client.seed_backup(SeedRequest(streams=MAX_STREAMS + 1), "r-2")

    run(scenario())


def test_a_repeated_request_starts_nothing_new_and_a_reused_id_is_refused() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address, Client([address]) as client:
            first = await client.create_backup(BackupRequest(), "r-1")
            assert (await client.create_backup(BackupRequest(), "r-1")).id == first.id
            with pytest.raises(Invalid):
                await client.create_backup(BackupRequest(allow_empty=True), "r-1")
            assert len(operations.backups) == 1

    run(scenario())


def test_lists_come_in_pages_newest_first() -> None:
    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            Client([address]) as client,
        ):
            for number in range(5):
                await client.create_backup(BackupRequest(), f"r-{number}")
            epochs: list[int] = []
            token = ""
            while True:
                page = await client.list_backups(2, token)
                epochs += [backup.epoch for backup in page.backups]
                token = page.next_page_token
                if not token:
                    break
            assert epochs == [5, 4, 3, 2, 1]

    run(scenario())


def test_a_write_finds_the_leader_through_a_standby_and_reads_stay_where_they_are() -> None:
    async def scenario() -> None:
        leading = MemoryApi()
        async with serve_api(leading.api, LOOPBACK) as leader:
            standby = MemoryApi(leader=leader)
            async with serve_api(standby.api, LOOPBACK) as other, Client([other]) as client:
                made = await client.create_backup(BackupRequest(), "r-1")
                assert list(leading.backups) == [made.id]
                assert not standby.backups
                assert (await client.list_backups()).backups == ()  # the standby answered itself

    run(scenario())


def test_two_standbys_that_name_each_other_do_not_keep_a_client_running() -> None:
    async def scenario() -> None:
        first, second = MemoryApi(), MemoryApi()
        async with serve_api(first.api, LOOPBACK) as one, serve_api(second.api, LOOPBACK) as two:
            first.leader, second.leader = two, one
            async with Client([one, two]) as client:
                client._link.leaderless_s = 0.5
                with pytest.raises(Unavailable) as caught:
                    await client.adopt("r-1")
                assert "standby" in caught.value.message

    run(scenario())


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def scenario() -> None:
        with dead_address() as dead:
            async with (
                serve_api(MemoryApi().api, LOOPBACK) as address,
                Client([dead, address]) as client,
            ):
                assert (await client.cluster_status()).cluster == "main"
                seen = await client.create_backup(BackupRequest(), "r-1")
                states = [backup.state async for backup in client.watch_backup(seen.id)]
                assert states[-1] is State.COMMITTED

    run(scenario())


def test_nobody_there_is_unavailable() -> None:
    async def scenario() -> None:
        with dead_address() as dead:
            async with Client([dead]) as client:
                with pytest.raises(Unavailable):
                    await client.cluster_status()

    run(scenario())


def test_a_watch_goes_on_at_another_coordinator() -> None:
    """The one that is watched goes away, and no watcher keeps it from that."""

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        async with serve_api(operations.api, LOOPBACK) as stays:
            seen: list[State] = []
            async with asyncio.TaskGroup() as group:
                watching = asyncio.Event()

                async def watch(address: str) -> None:
                    async with Client([address, stays]) as client:
                        made = await client.create_backup(BackupRequest(), "r-1")
                        async for backup in client.watch_backup(made.id):
                            seen.append(backup.state)
                            if backup.state is State.UPLOADING:
                                watching.set()

                async with asyncio.timeout(20):  # less than the grace of what leaves
                    listen = Listen("127.0.0.1:0", grace_s=25.0)
                    async with serve_api(operations.api, listen) as leaves:
                        group.create_task(watch(leaves))
                        await watching.wait()
                await operations.cancel_backup("bk-1")
            assert seen[-1] is State.ABORTED

    run(scenario())


def test_a_call_whose_deadline_passes_is_told_so() -> None:
    class Slow(MemoryApi):
        async def get_backup(self, name: str) -> Backup:
            await asyncio.Event().wait()
            return await super().get_backup(name)

    async def scenario() -> None:
        async with (
            serve_api(Slow().api, LOOPBACK) as address,
            Client([address], timeout_s=0.2) as client,
        ):
            with pytest.raises(TimedOut):
                await client.get_backup("bk-1")

    run(scenario())


def test_a_bug_is_internal_and_keeps_its_text_to_itself() -> None:
    class Broken(MemoryApi):
        async def list_backups(self, page: PageRequest) -> Any:
            raise ZeroDivisionError("secret detail")

    async def scenario() -> None:
        async with serve_api(Broken().api, LOOPBACK) as address, Client([address]) as client:
            with pytest.raises(CleancutError) as caught:
                await client.list_backups()
            assert type(caught.value) is CleancutError
            assert "secret" not in str(caught.value)
            with pytest.raises(NotFound):  # and the server goes on
                await client.get_backup("no")

    run(scenario())


def test_what_the_border_checks_itself() -> None:
    """Requests that no coordinator should see."""

    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            Client([address]) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            for request, key in (
                (BackupRequest(), "no spaces allowed"),
                (BackupRequest(collections=("..",)), "r-1"),
                (BackupRequest(attempts=MAX_ATTEMPTS + 1), "r-1"),
            ):
                with pytest.raises(Invalid):
                    await client.create_backup(request, key)
            with pytest.raises(Invalid):
                await client.get_backup("")
            restores = restore_pb2_grpc.RestoreServiceStub(channel)
            unconfirmed = restore_pb2.StartRestoreRequest(request_id="r-1", backup_id="1")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await restores.StartRestore(unconfirmed)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION

    run(scenario())


def test_zero_attempts_means_the_default() -> None:
    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = backup_pb2_grpc.BackupServiceStub(channel)
            made = await stub.CreateBackup(backup_pb2.CreateBackupRequest(request_id="r-1"))
            assert made.backup.attempts == BackupRequest().attempts

    run(scenario())


def test_health_and_reflection_answer_for_every_service() -> None:
    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = health_pb2_grpc.HealthStub(channel)
            for name in ("", *SERVICES):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING

            def listed() -> set[str]:
                with grpc.insecure_channel(address) as plain:
                    return set(ProtoReflectionDescriptorDatabase(plain).get_services())

            assert set(SERVICES) <= await asyncio.to_thread(listed)

    run(scenario())


def test_a_taken_port_is_refused_with_a_hint() -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, LOOPBACK) as address:
            with pytest.raises(Unavailable) as caught:
                async with serve_api(MemoryApi().api, Listen(address)):
                    pass
            assert caught.value.hint

    run(scenario())


def test_the_end_says_not_serving_and_lets_a_running_call_finish() -> None:
    """The call ends only after the server has begun to stop, and is answered all the same."""
    begun, stopping = asyncio.Event(), asyncio.Event()

    class Gated(MemoryApi):
        async def get_backup(self, name: str) -> Backup:
            begun.set()
            await stopping.wait()
            return await super().get_backup(name)

    async def until_not_serving(channel: grpc.aio.Channel) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                break
        watch.cancel()  # else the server waits for it, as it should
        stopping.set()

    async def ask(address: str) -> None:
        async with Client([address]) as client:
            assert (await client.get_backup("bk-1")).id == "bk-1"

    async def scenario() -> None:
        operations = Gated()
        await operations.create_backup(BackupRequest(), "r-1")
        async with asyncio.TaskGroup() as group:
            listen = Listen("127.0.0.1:0", grace_s=10.0)
            async with serve_api(operations.api, listen) as address:
                channel = grpc.aio.insecure_channel(address)
                group.create_task(until_not_serving(channel))
                group.create_task(ask(address))
                await begun.wait()
        await channel.close()

    run(scenario())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:7070", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:7070", False),
        ("[::]:1", False),
        ("coordinator:7070", False),
    ],
)
def test_plaintext_is_for_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
    check_plaintext(address, None, allow_plaintext=True)
    if expected:
        check_plaintext(address, None, allow_plaintext=False)
    else:
        with pytest.raises(Invalid):
            check_plaintext(address, None, allow_plaintext=False)


@pytest.mark.parametrize("text", ["7070", "host", ":7070", "host:", "host:x", "host:70000"])
def test_addresses_that_cannot_be_read_are_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        is_loopback(text)


def test_a_restore_that_cannot_start_is_refused_with_the_plans_reason() -> None:
    async def scenario() -> None:
        operations = MemoryApi(blockers=("collection books exists",))
        async with serve_api(operations.api, LOOPBACK) as address, Client([address]) as client:
            await client.create_backup(BackupRequest(), "r-1")
            assert (await client.plan_restore("1")).blockers
            with pytest.raises(Refused):
                await client.start_restore("1", "r-2")

    run(scenario())


def test_watches_leave_room_for_all_other_calls() -> None:
    """Thousands that are left open must not keep an admin out; one that ends makes room."""

    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        listen = Listen("127.0.0.1:0", grace_s=1.0, watches=2)
        async with (
            serve_api(operations.api, listen) as address,
            Client([address]) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            made = await client.create_backup(BackupRequest(), "r-1")
            stub = backup_pb2_grpc.BackupServiceStub(channel)
            asked = backup_pb2.WatchBackupRequest(id=made.id)
            open_ones = [stub.WatchBackup(asked) for _ in range(2)]
            for one in open_ones:
                await one.read()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.WatchBackup(asked).read()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert (await client.get_backup(made.id)).id == made.id
            await operations.cancel_backup(made.id)
            while await open_ones[0].read() is not grpc.aio.EOF:
                pass
            await stub.WatchBackup(asked).read()

    run(scenario())
