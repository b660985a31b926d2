"""With TLS only clients of our CA are let in, and only our server is trusted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from cleancut.client.client import Client
from cleancut.core.primitives.errors import Denied, Invalid, Unavailable
from cleancut.rpc.server import Listen
from cleancut.runtime.tls import Tls, tls_of
from cleancut.runtime.watched_files import WatchedFiles
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.certificates import Authority


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


def _authority(folder: Path) -> Authority:
    folder.mkdir()
    return Authority(folder)


def _tls(authority: Authority, name: str) -> Tls:
    return Tls(authority.ca, *authority.issue(name))


def test_a_client_of_the_same_ca_is_let_in_and_others_are_not(tmp_path: Path) -> None:
    ours, theirs = _authority(tmp_path / "ours"), _authority(tmp_path / "theirs")
    good = _tls(ours, "operator")
    foreign = _tls(theirs, "operator")
    stranger = Tls(ours.ca, foreign.cert, foreign.key)  # trusts us, but is not ours

    async def scenario() -> None:
        listen = Listen("127.0.0.1:0", _tls(ours, "coordinator"), grace_s=0.0)
        async with serve_api(MemoryApi().api, listen) as address:
            async with Client([address], good) as client:
                assert (await client.cluster_status()).cluster == "main"
            for tls in (stranger, foreign, None):
                async with Client([address], tls, timeout_s=5.0) as client:
                    with pytest.raises(Unavailable):
                        await client.cluster_status()

    run(scenario())


def test_a_network_address_needs_tls(tmp_path: Path) -> None:
    """Without it the server does not even start."""
    ours = _authority(tmp_path / "ours")

    async def scenario() -> None:
        with pytest.raises(Invalid):
            async with serve_api(MemoryApi().api, Listen("0.0.0.0:0")):
                pass
        listen = Listen("0.0.0.0:0", _tls(ours, "coordinator"), grace_s=0.0)
        async with serve_api(MemoryApi().api, listen) as address:
            port = address.rpartition(":")[2]
            async with Client([f"127.0.0.1:{port}"], _tls(ours, "operator")) as client:
                assert (await client.cluster_status()).leader == "co-0"

    run(scenario())


def test_files_that_cannot_be_read_are_denied(tmp_path: Path) -> None:
    missing = Tls(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")

    async def scenario() -> None:
        with pytest.raises(Denied):
            async with serve_api(MemoryApi().api, Listen("127.0.0.1:0", missing)):
                pass

    run(scenario())


@pytest.mark.parametrize("left", [0, 40, -40], ids=["empty", "begun", "half written"])
def test_files_that_are_no_whole_certificates_are_named(left: int, tmp_path: Path) -> None:
    """gRPC would only say that nothing connects. A running server keeps those that it had."""
    ours = _authority(tmp_path / "ours")
    good, mine = _tls(ours, "coordinator"), _tls(ours, "operator")
    assert good.cert is not None
    assert good.key is not None

    async def scenario() -> None:
        listen = Listen("127.0.0.1:0", good, grace_s=0.0)
        async with serve_api(MemoryApi().api, listen) as address:
            for path in good.files:
                whole = path.read_bytes()
                path.write_bytes(whole[:left])
                with pytest.raises(Denied, match=f"{path.name} holds no whole"):
                    good.read(WatchedFiles(good.files))
                with pytest.raises(Denied, match=f"{path.name} holds no whole"):
                    async with serve_api(MemoryApi().api, listen):
                        pass
                if path != good.ca:  # which the client uses as well
                    async with Client([address], mine) as client:
                        assert (await client.cluster_status()).cluster == "main"
                path.write_bytes(whole)

    run(scenario())


def test_only_some_of_the_three_files_are_invalid() -> None:
    assert tls_of(None, None, None) is None
    assert tls_of(Path("a"), Path("b"), Path("c")) == Tls(Path("a"), Path("b"), Path("c"))
    with pytest.raises(Invalid):
        tls_of(Path("a"), None, Path("c"))


def test_a_leader_named_by_its_number_has_to_have_the_name_that_was_asked_for(
    tmp_path: Path,
) -> None:
    """Pods have no names that a certificate could hold: all have that of their Service."""
    ours, theirs = _authority(tmp_path / "ours"), _authority(tmp_path / "theirs")
    mine = _tls(ours, "operator")

    async def adopt(leader_tls: Tls, standby: str) -> str:
        there = Listen("127.0.0.2:0", leader_tls, grace_s=0.0)
        async with serve_api(MemoryApi().api, there) as leader:
            here = Listen("127.0.0.1:0", _tls(ours, "coordinator"), grace_s=0.0)
            async with serve_api(MemoryApi(leader=leader).api, here) as address:
                port = address.rpartition(":")[2]
                async with Client([f"{standby}:{port}"], mine, timeout_s=3.0) as client:
                    client._link.leaderless_s = 0.0
                    return (await client.adopt(str(uuid.uuid4()))).cluster_id

    async def scenario() -> None:
        assert await adopt(_tls(ours, "coordinator"), "localhost")
        with pytest.raises(Unavailable):
            await adopt(_tls(theirs, "coordinator"), "localhost")
        with pytest.raises(
            Unavailable
        ):  # asked for by a number, its own number has to be certified
            await adopt(_tls(ours, "coordinator"), "127.0.0.1")

    run(scenario())
