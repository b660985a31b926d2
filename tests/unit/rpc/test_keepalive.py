"""Keepalive: options that gRPC knows, and connections that survive pings."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import grpc
import pytest
from grpc._cython import cygrpc

from cleancut.etcd import channels as etcd_channels
from cleancut.rpc import channel as rpc_channel
from cleancut.rpc.server import Listen, serve
from cleancut.runtime.addresses import parse_address

PINGS = 10
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _GOAWAY = 0x4, 0x6, 0x7
_ACK = 0x1


def _frame(kind: int, payload: bytes = b"") -> bytes:
    """Source: RFC 9113, 4.1."""
    return len(payload).to_bytes(3, "big") + bytes((kind, 0)) + bytes(4) + payload


async def _next_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and payload."""
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def _answers_to_pings(address: str) -> str:
    """ "all acknowledged", or the reason why the server ends the connection."""
    reader, writer = await asyncio.open_connection(*parse_address(address))
    writer.write(_PREFACE + _frame(_SETTINGS))
    try:
        for number in range(PINGS):
            writer.write(_frame(_PING, struct.pack(">Q", number)))
            kind = flags = 0
            while (kind, flags) != (_PING, _ACK):
                kind, flags, payload = await _next_frame(reader)
                if kind == _GOAWAY:
                    return payload[8:].decode()
    finally:
        writer.close()
    return "all acknowledged"


def test_every_option_is_known_to_the_grpc_core() -> None:
    """gRPC ignores an unknown option without a word."""
    core = Path(cygrpc.__file__).read_bytes()
    options = (*Listen("127.0.0.1:0").options(), *etcd_channels.OPTIONS, *rpc_channel.OPTIONS)
    unknown = [name for name, _ in options if name.encode() + b"\0" not in core]
    assert unknown == []


@pytest.mark.parametrize(
    ("interval_s", "expected"), [(0.0, "all acknowledged"), (20.0, "too_many_pings")]
)
def test_a_server_accepts_pings_at_the_interval_it_is_set_to(
    interval_s: float, expected: str
) -> None:
    async def answers() -> str:
        listen = Listen("127.0.0.1:0", min_ping_interval_s=interval_s, grace_s=0.1)
        async with asyncio.timeout(30), serve(listen, (), lambda server: None) as address:
            return await _answers_to_pings(address)

    assert asyncio.run(answers()) == expected


def test_clients_ping_less_often_than_servers_allow() -> None:
    client_ms = dict(rpc_channel.OPTIONS)["grpc.keepalive_time_ms"]
    server = dict(Listen("127.0.0.1:0").options())
    assert client_ms > server["grpc.http2.min_ping_interval_without_data_ms"]


@pytest.mark.parametrize("options", [etcd_channels.OPTIONS, rpc_channel.OPTIONS], ids="er")
def test_a_proxy_in_the_environment_diverts_no_call(
    options: tuple[tuple[str, object], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for the store: etcd and coordinators are reached directly."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def body() -> None:
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                async with asyncio.timeout(10):
                    await channel.channel_ready()
        finally:
            await server.stop(None)

    asyncio.run(body())
