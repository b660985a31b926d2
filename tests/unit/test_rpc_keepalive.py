"""Keepalive: options that gRPC knows, and silent watches that survive pings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cleancut.etcd import channels as etcd_channels
from cleancut.rpc import channel as rpc_channel
from cleancut.rpc.server import Listen, serve

_PING = (
    ("grpc.keepalive_time_ms", 50),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_FAST = 0.01
_SILENT_S = 1.5
"""About 30 pings; a server that objects ends the connection at the third."""


def test_every_option_is_known_to_the_grpc_core() -> None:
    """gRPC passes over an unknown option in silence."""
    core = Path(cygrpc.__file__).read_bytes()
    options = (*Listen("127.0.0.1:0").options(), *etcd_channels.OPTIONS, *rpc_channel.OPTIONS)
    unknown = [name for name, _ in options if name.encode() + b"\0" not in core]
    assert unknown == []


@pytest.mark.parametrize(("interval_s", "survives"), [(_FAST, True), (300.0, False)])
def test_a_silent_watch_survives_as_many_pings_as_the_server_allows(
    interval_s: float, survives: bool
) -> None:
    async def end_of_watch() -> str:
        """The error that ended it; "" if it was still open after a while."""
        listen = Listen("127.0.0.1:0", min_ping_interval_s=interval_s, grace_s=0.1)
        async with (
            serve(listen, (), lambda server: None) as address,
            grpc.aio.insecure_channel(address, options=_PING) as channel,
        ):
            request = health_pb2.HealthCheckRequest()
            watch = health_pb2_grpc.HealthStub(channel).Watch(request)
            await watch.read()
            try:
                async with asyncio.timeout(_SILENT_S if survives else 30):
                    await watch.read()
            except TimeoutError:
                return ""
            except grpc.aio.AioRpcError as error:
                return str(error.details())
            return "an answer"

    assert asyncio.run(end_of_watch()) == ("" if survives else "Too many pings")
