"""The Python client as a program uses it: one import, plain methods, mistakes refused early."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cleancut.api.values import OperationError
from cleancut.client import (
    BackupRequest,
    BlockingClient,
    Client,
    Invalid,
    Refused,
    RestoreOptions,
    State,
    TimedOut,
)
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import Ending, MemoryApi
from cleancut_coordinator.api.servicers import serve_api

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


@pytest.fixture
def served() -> Iterator[tuple[MemoryApi, str]]:
    """A coordinator on a loop of its own thread, and its address."""
    operations = MemoryApi()
    loop = asyncio.new_event_loop()
    server = serve_api(operations.api, LOOPBACK)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        address = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
        yield operations, address
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def calls(kind: type[Any]) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_the_blocking_client_has_every_method_of_the_client() -> None:
    blocking, looping = calls(BlockingClient), calls(Client)
    assert blocking.keys() == looping.keys()
    for name, signature in blocking.items():
        assert signature.parameters == looping[name].parameters, name
        answer = str(looping[name].return_annotation)
        if answer.startswith("AsyncGenerator["):
            answer = f"Iterator[{answer.removeprefix('AsyncGenerator[').partition(',')[0]}]"
        assert signature.return_annotation == answer, name
    assert str(inspect.signature(BlockingClient)) == str(inspect.signature(Client))


def test_plain_methods_make_watch_and_find_a_backup(served: tuple[MemoryApi, str]) -> None:
    with BlockingClient([served[1]]) as cluster:
        done = cluster.create_and_wait()
        assert (done.state, done.epoch) == (State.COMMITTED, 1)
        second = cluster.create_backup(BackupRequest(collections=("a",)))
        assert second.id != done.id, "each call has a request id of its own"
        assert cluster.create_backup(request_id="same") == cluster.create_backup(request_id="same")
        assert [one.state for one in cluster.watch_backup(second.id)][-1] is State.COMMITTED
        assert cluster.restore_and_wait("1").state is State.DONE


def test_waiting_raises_why_an_operation_failed_or_that_it_continues(
    served: tuple[MemoryApi, str],
) -> None:
    operations, address = served
    with BlockingClient([address]) as cluster:
        operations.ending = Ending(
            State.ABORTED, OperationError("REFUSED", "the disk is full", "grow it")
        )
        with pytest.raises(Refused, match="the disk is full") as refused:
            cluster.create_and_wait()
        assert refused.value.hint == "grow it"
        operations.ending = Ending(hold_at=State.UPLOADING)
        with pytest.raises(TimedOut, match="after 0 s"):
            cluster.create_and_wait(timeout_s=0.2)


def test_text_is_no_sequence(served: tuple[MemoryApi, str]) -> None:
    """It would be taken letter by letter: a backup of c, d, o, p, r, s, t and u."""
    operations, address = served
    wrong: Any = "products"
    with BlockingClient([address]) as cluster:
        with pytest.raises(Invalid, match="collections 'products': a sequence is expected"):
            cluster.create_backup(BackupRequest(collections=wrong))
        with pytest.raises(Invalid, match="collections 'products'"):
            cluster.plan_restore("1", RestoreOptions(collections=wrong))
    assert operations.backups == {}
    with pytest.raises(Invalid, match="a sequence is expected"):
        BlockingClient("127.0.0.1:7400")
