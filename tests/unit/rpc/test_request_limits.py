"""Nothing that is only large gets into a coordinator: of every method, and over a real server."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

from cleancut.api.restores import RestoreOptions
from cleancut.api.wire import is_map
from cleancut.client.client import Client
from cleancut.core.primitives.errors import Invalid
from cleancut.core.protocol.requests import MAX_FILTER, MAX_IDS, BackupRequest
from cleancut.rpc.request_limits import (
    LARGER,
    MAX_ITEMS,
    MAX_METADATA_BYTES,
    MAX_REQUEST_BYTES,
    MAX_TEXT,
    check_sizes,
)
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut.v1 import (
    backup_pb2,
    backup_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    restore_pb2,
    schedule_pb2,
    undelete_pb2,
)
from cleancut_coordinator.api.servicers import serve_api
from tests.support.api_callers import run
from tests.unit.core.auth.test_roles import methods

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


def too_large(kind: Any, depth: int = 0) -> list[Any]:
    """Messages of `kind`, each with one field, at any depth, that is just too large."""
    found = []
    for field in kind.DESCRIPTOR.fields:
        message = kind()
        if is_map(field):
            found += _large_maps(kind, field.name)
        elif field.message_type is not None:
            inner = field.message_type._concrete_class
            if field.is_repeated:
                getattr(message, field.name).extend(inner() for _ in range(MAX_ITEMS + 1))
                found.append(message)
            for large in too_large(inner, depth + 1):
                outer = kind()
                if field.is_repeated:
                    getattr(outer, field.name).append(large)
                else:
                    getattr(outer, field.name).CopyFrom(large)
                found.append(outer)
        elif field.is_repeated:
            one = "x" if field.type == field.TYPE_STRING else 1
            most = LARGER.get(field.full_name, MAX_ITEMS)
            getattr(message, field.name).extend([one] * (most + 1))
            found.append(message)
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, "x" * (LARGER.get(field.full_name, MAX_TEXT) + 1))
            found.append(message)
        elif field.type == field.TYPE_DOUBLE:
            setattr(message, field.name, float("nan"))
            found.append(message)
    return found


def _large_maps(kind: Any, name: str) -> list[Any]:
    long = "x" * (MAX_TEXT + 1)
    many = {f"k{number}": "" for number in range(MAX_ITEMS + 1)}
    return [kind(**{name: entries}) for entries in (many, {long: ""}, {"k": long})]


def test_no_field_of_any_request_may_be_larger_than_the_limits() -> None:
    cases = [(name, large) for name, kind in methods() for large in too_large(kind)]
    assert len(cases) > 30
    taken = []
    for name, large in cases:
        try:
            check_sizes(large)
            taken.append((name, str(large)[:60]))
        except Invalid:
            continue
    assert taken == []


def test_the_largest_request_that_is_meant_fits() -> None:
    """A thousand names of the length that Qdrant allows."""
    names = [f"{n:04}" + "n" * 196 for n in range(MAX_ITEMS)]
    request = backup_pb2.CreateBackupRequest(request_id="r", collections=names)
    check_sizes(request)
    assert request.ByteSize() < MAX_REQUEST_BYTES / 2
    uuids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(MAX_IDS)]
    options = undelete_pb2.UndeleteOptions(ids=uuids, filter="x" * MAX_FILTER)
    points = undelete_pb2.StartUndeleteRequest(request_id="r", options=options)
    check_sizes(points)
    assert points.ByteSize() < MAX_REQUEST_BYTES / 2


def test_what_is_too_large_is_refused_and_the_server_goes_on() -> None:
    """By list, by text, and by bytes, which are not even read; a header may not be large either."""

    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address, Client([address]) as client:
            many = tuple(f"c{n}" for n in range(MAX_ITEMS + 1))
            with pytest.raises(Invalid, match="at most"):
                await client.create_backup(BackupRequest(collections=many), "r-1")
            with pytest.raises(Invalid, match="longer than"):
                await client.get_backup("x" * (MAX_TEXT + 1))
            huge = ("x" * (MAX_REQUEST_BYTES + 1),)
            with pytest.raises(Invalid, match="larger than max"):
                await client.create_backup(BackupRequest(collections=huge), "r-1")
            packed = backup_pb2.CreateBackupRequest(
                request_id="r-1", collections=["x" * (64 << 20)]
            )
            async with grpc.aio.insecure_channel(address) as channel:
                create = backup_pb2_grpc.BackupServiceStub(channel).CreateBackup
                with pytest.raises(grpc.aio.AioRpcError) as bomb:
                    await create(packed, compression=grpc.Compression.Gzip)
                assert bomb.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            shards = tuple(range(MAX_ITEMS + 1))
            with pytest.raises(Invalid, match="only_shards holds"):
                await client.plan_restore("1", RestoreOptions(only_shards=shards))
            async with grpc.aio.insecure_channel(address) as channel:
                stub = cluster_pb2_grpc.ClusterServiceStub(channel)
                header = (("x-large", "x" * (MAX_METADATA_BYTES * 2)),)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetStatus(cluster_pb2.GetStatusRequest(), metadata=header)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await client.cluster_status()).cluster == "main"
            assert operations.backups == {}

    run(scenario())


@pytest.mark.parametrize("name", ["²", "a\nb", "x" * 129, ""])
def test_names_and_page_tokens_that_no_list_has_given_are_invalid(name: str) -> None:
    """They look like numbers, or like lines of a log, and are neither."""

    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, LOOPBACK) as address,
            Client([address]) as client,
        ):
            with pytest.raises(Invalid):
                await client.get_backup(name)
            if name:
                with pytest.raises(Invalid, match="page_token"):
                    await client.list_backups(page_token=name)

    run(scenario())


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(10**18, 0), (-(10**18), 0), (253402300800, 0), (0, -1), (0, 10**9)],
)
def test_a_time_that_is_none_is_the_callers_error(seconds: int, nanos: int) -> None:
    """Else it counts as an error of the coordinator, with a traceback in its log."""
    log, put, plan = (
        backup_pb2.ReadLogRequest(),
        schedule_pb2.PutScheduleRequest(),
        restore_pb2.PlanRestoreRequest(),
    )
    for message, at in (
        (log, log.until),
        (put, put.schedule.last_due_at),
        (plan, plan.options.target.at),
    ):
        at.seconds, at.nanos = seconds, nanos
        with pytest.raises(Invalid, match="is not a time"):
            check_sizes(message)
        at.seconds, at.nanos = 1_760_000_000, 0
        check_sizes(message)
