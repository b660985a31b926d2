"""Who may call what, over a real server: roles by token and by certificate, and the audit of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cleancut.api.restores import RestoreOptions
from cleancut.client.client import Client
from cleancut.core.auth.roles import Role
from cleancut.core.primitives.errors import Denied, Invalid, Refused, Unauthenticated, Unavailable
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import State
from cleancut.rpc.authentication import Access, TokensFile
from cleancut.rpc.server import Listen
from cleancut.runtime.tls import Tls
from cleancut.testing.memory_api import Ending, MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.api_callers import (
    Lines,
    authority,
    run,
    secret_of,
    tls_with,
    token_file,
    token_line,
    write_tokens,
)

ROLES = {
    "spiffe://prod/ns/ops/sa/backup": Role.OPERATOR,
    "dns:grafana.example": Role.READER,
}


def tokens_of(folder: Path, *more: str) -> TokensFile:
    lines = (*(token_line(role.value, role) for role in Role), *more)
    return TokensFile(write_tokens(folder / "tokens", *lines), look_s=0)


def plain(folder: Path, audit: Lines | None = None) -> Listen:
    return Listen("127.0.0.1:0", grace_s=0.0, access=Access(tokens=tokens_of(folder)), audit=audit)


def test_each_role_gets_as_far_as_the_table_says(tmp_path: Path) -> None:
    """A reader who deletes is denied before anything is looked at; so is an operator."""
    operations = MemoryApi()

    async def scenario() -> None:
        async with serve_api(operations.api, plain(tmp_path)) as address:
            clients = {
                role: Client([address], token_file=token_file(tmp_path, role.value))
                for role in Role
            }
            made = await clients[Role.OPERATOR].create_backup(BackupRequest(), "r-1")
            for role in Role:
                assert (await clients[role].get_backup(made.id)).id == made.id
                seen = clients[role].watch_backup(made.id)
                assert (await anext(seen)).id == made.id
                await seen.aclose()
            with pytest.raises(Denied) as caught:
                await clients[Role.READER].create_backup(BackupRequest(), "r-2")
            assert caught.value.exit_code == 8
            assert "needs operator" in caught.value.message
            assert caught.value.context["needs"] == "operator"
            for role in (Role.READER, Role.OPERATOR):
                with pytest.raises(Denied, match="needs admin"):
                    await clients[role].delete_backup(made.id)
            assert list(operations.backups) == [made.id]
            options = RestoreOptions(replace=True)
            with pytest.raises(Denied, match="needs admin"):
                await clients[Role.OPERATOR].start_restore(made.id, "r-3", options)
            assert (await clients[Role.OPERATOR].start_restore(made.id, "r-3")).id
            await clients[Role.ADMIN].delete_backup(made.id)
            for client in clients.values():
                await client._link.close()

    run(scenario())


def test_who_shows_no_token_or_a_wrong_one_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "stolen.token").write_text("cct_guessed")
    expired = token_line("old", Role.ADMIN, expires_s=1.0)

    async def scenario() -> None:
        access = Access(tokens=tokens_of(tmp_path, expired))
        listen = Listen("127.0.0.1:0", grace_s=0.0, access=access)
        async with serve_api(MemoryApi().api, listen) as address:
            for file, word in (
                (None, "who asks"),
                (tmp_path / "stolen.token", "unknown token"),
                (token_file(tmp_path, "old"), "expired"),
            ):
                async with Client([address], token_file=file) as client:
                    with pytest.raises(Unauthenticated, match=word) as caught:
                        await client.cluster_status()
                    assert caught.value.exit_code == 8
                    assert caught.value.hint
                    with pytest.raises(Unauthenticated):
                        await anext(client.watch_backup("1"))

    run(scenario())


def test_a_coordinator_without_tokens_takes_none(tmp_path: Path) -> None:
    """Whoever shows one wants to be known by it: nothing is let in instead."""

    async def scenario() -> None:
        listen = Listen("127.0.0.1:0", grace_s=0.0)
        async with serve_api(MemoryApi().api, listen) as address:
            async with Client([address], token_file=token_file(tmp_path, "a")) as client:
                with pytest.raises(Unauthenticated, match="takes no tokens"):
                    await client.cluster_status()
            async with Client([address]) as client:
                assert (await client.cluster_status()).cluster == "main"

    run(scenario())


def test_a_token_goes_over_no_open_line(tmp_path: Path) -> None:
    """The client does not send it; a server that gets one over a network does not take it."""

    async def scenario() -> None:
        async with Client(["10.0.0.1:7400"], token_file=token_file(tmp_path, "admin")) as client:
            with pytest.raises(Invalid, match="in plaintext"):
                await client.cluster_status()

    run(scenario())
    access = Access(tokens=tokens_of(tmp_path), plaintext=True, network=True)
    header = (("authorization", f"Bearer {secret_of('admin')}"),)
    assert access.caller(_Call("ipv4:127.0.0.1:9", header)).role is Role.ADMIN
    assert access.caller(_Call("ipv6:%5B::1%5D:9", header)).role is Role.ADMIN
    for peer in ("ipv4:10.0.0.9:1", "ipv6:%5B2001:db8::1%5D:1", "unknown"):
        with pytest.raises(Unauthenticated, match="in the clear"):
            access.caller(_Call(peer, header))


class _Call:
    """What gRPC tells of a call, for peers that loopback cannot have."""

    def __init__(self, peer: str, metadata: tuple[tuple[str, str], ...]) -> None:
        self._peer, self._metadata = peer, metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}


def test_certificates_have_the_role_of_their_name(tmp_path: Path) -> None:
    """By SAN alone: a common name is nothing, and a name that is not there has no role."""
    ours, lines = authority(tmp_path / "ours"), Lines()
    spiffe = [x509.UniformResourceIdentifier("spiffe://prod/ns/ops/sa/backup")]
    operator = tls_with(ours, ours.issue("operator", spiffe))
    reader = tls_with(ours, ours.issue("reader", [x509.DNSName("grafana.example")]))
    impostor = tls_with(ours, ours.issue("grafana.example"))
    server = tls_with(ours, ours.issue("coordinator"))

    async def scenario() -> None:
        listen = Listen("127.0.0.1:0", server, grace_s=0.0, access=Access(ROLES), audit=lines)
        async with serve_api(MemoryApi().api, listen) as address:
            async with Client([address], operator) as client:
                made = await client.create_backup(BackupRequest(), "r-1")
                with pytest.raises(Denied, match="needs admin"):
                    await client.adopt("r-2")
            async with Client([address], reader) as client:
                assert (await client.get_backup(made.id)).id == made.id
                with pytest.raises(Denied, match=r"dns:grafana\.example has the role reader"):
                    await client.cancel_backup(made.id)
            async with Client([address], impostor) as client:
                with pytest.raises(Denied, match="no role") as caught:
                    await client.cluster_status()
                assert not isinstance(caught.value, Unauthenticated)
                assert "[roles]" in caught.value.hint

    run(scenario())
    assert [(one["who"], one["decision"]) for one in lines.all()] == [
        ("spiffe://prod/ns/ops/sa/backup", "allowed"),
        ("spiffe://prod/ns/ops/sa/backup", "denied"),
        ("dns:grafana.example", "denied"),
        ("dns:localhost", "denied"),
    ]


def test_tokens_over_tls_need_no_client_certificate(tmp_path: Path) -> None:
    """The server is known by its CA and name all the same: another CA or name gets no token."""
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    server = Tls(None, *ours.issue("coordinator"))
    elsewhere = Tls(None, *ours.issue("elsewhere", [x509.DNSName("elsewhere.example")]))
    token = token_file(tmp_path, "reader")

    async def scenario() -> None:
        access = Access(tokens=tokens_of(tmp_path))
        listen = Listen("127.0.0.1:0", server, grace_s=0.0, access=access)
        async with serve_api(MemoryApi().api, listen) as address:
            async with Client([address], Tls(ours.ca), token_file=token) as client:
                assert (await client.cluster_status()).cluster == "main"
            async with Client([address], Tls(ours.ca)) as client:
                with pytest.raises(Unauthenticated):
                    await client.cluster_status()
            async with Client([address], Tls(theirs.ca), token_file=token) as client:
                with pytest.raises(Unavailable):
                    await client.cluster_status()
        listen = Listen("127.0.0.1:0", elsewhere, grace_s=0.0, access=access)
        async with (
            serve_api(MemoryApi().api, listen) as address,
            Client([address], Tls(ours.ca), token_file=token) as client,
        ):
            with pytest.raises(Unavailable):
                await client.cluster_status()

    run(scenario())


def test_health_is_for_everybody_and_reflection_is_not(tmp_path: Path) -> None:
    lines = Lines()

    async def scenario() -> None:
        async with (
            serve_api(MemoryApi().api, plain(tmp_path, lines)) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert (await check).status == health_pb2.HealthCheckResponse.SERVING
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ServerReflectionInfo(iter([asked])).read()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            header = (("authorization", f"Bearer {secret_of('reader')}"),)
            answer = await stub.ServerReflectionInfo(iter([asked]), metadata=header).read()
            assert answer.list_services_response.service

    run(scenario())
    assert [(one["method"], one["decision"]) for one in lines.all()] == [("reflection", "denied")]


def test_the_audit_tells_of_changes_and_refusals_and_of_no_secret(tmp_path: Path) -> None:
    lines = Lines()

    async def scenario() -> None:
        operations = MemoryApi(blockers=("collection books exists",))
        async with serve_api(operations.api, plain(tmp_path, lines)) as address:
            async with Client([address], token_file=token_file(tmp_path, "operator")) as client:
                names = tuple(f"c{n:03}" for n in range(30))
                request = BackupRequest(collections=names, labels={"team": "search"})
                made = await client.create_backup(request, "r-1")
                await client.get_backup(made.id)
                with pytest.raises(Refused):
                    await client.start_restore(made.id, "r-2")
                with pytest.raises(Denied):
                    await client.delete_backup(made.id)
            async with Client([address]) as client:
                with pytest.raises(Unauthenticated):
                    await client.get_backup(made.id)

    run(scenario())
    created, restored, deleted, nobody = lines.all()
    assert created["event"] == "audit"
    assert (created["who"], created["how"], created["role"]) == ("operator", "token", "operator")
    assert (created["method"], created["status"]) == ("BackupService/CreateBackup", "OK")
    assert created["request"]["request_id"] == "r-1"
    assert len(created["request"]["collections"]) == 20
    assert created["request"]["collections_in_all"] == 30
    assert created["request"]["labels"] == {"team": "search"}
    assert created["peer"].startswith("ipv4:127.0.0.1:")
    assert (restored["decision"], restored["status"]) == ("allowed", "FAILED_PRECONDITION")
    assert (deleted["decision"], deleted["status"]) == ("denied", "PERMISSION_DENIED")
    assert (deleted["needs"], deleted["request"]["id"]) == ("admin", "bk-1")
    assert (nobody["who"], nobody["role"], nobody["status"]) == ("", None, "UNAUTHENTICATED")
    assert b"cct_" not in b"".join(lines.raw)


def test_tokens_come_and_go_without_a_restart(tmp_path: Path) -> None:
    """Taken out of the file, one is good for nothing; so are all, while it is not legible."""

    async def scenario() -> None:
        file = token_file(tmp_path, "late")
        async with (
            serve_api(MemoryApi().api, plain(tmp_path)) as address,
            Client([address], token_file=file) as client,
        ):
            with pytest.raises(Unauthenticated):
                await client.cluster_status()
            write_tokens(tmp_path / "tokens", token_line("late", Role.READER))
            assert (await client.cluster_status()).cluster == "main"
            write_tokens(tmp_path / "tokens", token_line("late", Role.READER), "a slip")
            with pytest.raises(Unauthenticated, match="tokens file"):
                await client.cluster_status()
            write_tokens(tmp_path / "tokens", token_line("late", Role.OPERATOR))
            assert (await client.cluster_status()).cluster == "main"
            (tmp_path / "tokens").unlink()
            with pytest.raises(Unauthenticated, match="tokens file"):
                await client.cluster_status()
            write_tokens(tmp_path / "tokens", token_line("other", Role.READER))
            with pytest.raises(Unauthenticated, match="unknown token"):
                await client.cluster_status()

    run(scenario())


def test_a_watch_ends_with_the_token_that_it_was_begun_with(tmp_path: Path) -> None:
    async def scenario() -> None:
        operations = MemoryApi(ending=Ending(hold_at=State.UPLOADING))
        file = token_file(tmp_path, "operator")
        async with (
            serve_api(operations.api, plain(tmp_path)) as address,
            Client([address], token_file=file) as client,
        ):
            made = await client.create_backup(BackupRequest(), "r-1")
            watch = client.watch_backup(made.id)
            while (await anext(watch)).state is not State.UPLOADING:
                continue
            write_tokens(tmp_path / "tokens", token_line("other", Role.ADMIN))
            await operations.cancel_backup(made.id)
            with pytest.raises(Unauthenticated):
                await anext(watch)

    run(scenario())


def test_a_client_reads_its_token_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serve_api(MemoryApi().api, plain(tmp_path)) as address:
            file = tmp_path / "mine.token"
            file.write_text("cct_old")
            async with Client([address], token_file=file) as client:
                with pytest.raises(Unauthenticated):
                    await client.cluster_status()
                file.write_text(secret_of("reader"))
                async with asyncio.timeout(10):
                    while True:
                        try:
                            await client.cluster_status()
                            break
                        except Unauthenticated:
                            await asyncio.sleep(0.1)

    run(scenario())
