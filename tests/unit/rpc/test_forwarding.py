"""A standby passes calls on to the leader, which knows who asked; nothing else can claim that."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc.aio
import pytest
from cryptography import x509
from msgspec.structs import replace as replace_record

from cleancut.client.client import Client
from cleancut.core.auth.forwarded import ForwardedCall
from cleancut.core.auth.roles import Role
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Denied, Invalid, NotFound, Unavailable
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import Coordinator, Leader
from cleancut.core.protocol.requests import BackupRequest
from cleancut.ports.coordination import Put
from cleancut.rpc.authentication import Access, Caller
from cleancut.rpc.forwarding import HEADER, Forwarding, LeaderRoute
from cleancut.rpc.server import Listen
from cleancut.rpc.statuses import from_call_error
from cleancut.runtime.tls import Tls
from cleancut.testing.memory_api import MemoryApi
from cleancut.v1 import backup_pb2, backup_pb2_grpc
from cleancut_coordinator.api.servicers import serve_api
from cleancut_coordinator.leader.members import EtcdMembers
from tests.support.api_callers import Lines, authority, run, token_file
from tests.unit.coordinator.leader.test_state import context, lead
from tests.unit.rpc.test_authentication import tokens_of

TOKEN = FencingToken(7)
METHOD = "/cleancut.v1.BackupService/CreateBackup"


@dataclass
class Known:
    """The coordinators as etcd would have them, for both of them."""

    route: LeaderRoute | None = None
    keys: dict[str, str] = field(default_factory=dict)


@dataclass
class View:
    """What one coordinator reads. `own`: its token, if it leads."""

    known: Known
    own: FencingToken | None = None

    async def leader(self) -> LeaderRoute | None:
        return self.known.route

    async def key_of(self, name: str) -> str:
        return self.known.keys.get(name, "")

    def token(self) -> FencingToken | None:
        return self.own


@dataclass
class Pair:
    """A leader `a` and a standby `b`, each with its API, its audit and its end of forwarding."""

    known: Known
    leader: MemoryApi
    standby: MemoryApi
    at: tuple[str, str]
    audits: tuple[Lines, Lines]
    standby_end: Forwarding


@asynccontextmanager
async def pair(
    access: Callable[[], Access], tls: tuple[Tls, Tls] | None = None
) -> AsyncIterator[Pair]:
    known, apis, audits = Known(), (MemoryApi(), MemoryApi()), (Lines(), Lines())
    views = View(known, TOKEN), View(known)
    ends = [
        Forwarding(name, view, tls=None if tls is None else tls[at], open=access().open)
        for at, (name, view) in enumerate(zip(("a", "b"), views, strict=True))
    ]
    listens = [
        Listen(
            "127.0.0.1:0",
            grace_s=0.0,
            access=access(),
            audit=audits[at],
            tls=None if tls is None else tls[at],
            forwarding=ends[at],
        )
        for at in (0, 1)
    ]
    known.keys = {end.name: end.public_key for end in ends}
    async with serve_api(apis[0].api, listens[0]) as first:
        known.route = LeaderRoute("a", first, TOKEN, ends[0].certificate())
        apis[1].leader = first
        async with serve_api(apis[1].api, listens[1]) as second:
            yield Pair(known, *apis, (first, second), audits, ends[1])
        await ends[1].close()


def by_tokens(folder: Path) -> Callable[[], Access]:
    return lambda: Access(tokens=tokens_of(folder))


def test_a_call_to_a_standby_is_answered_by_the_leader(tmp_path: Path) -> None:
    """A client that reaches the standby alone, as behind a port-forward or a balancer."""

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path)) as two:
            file = token_file(tmp_path, "operator")
            async with Client([two.at[1]], token_file=file) as client:
                made = await client.create_backup(BackupRequest(), "r-1")
                assert list(two.leader.backups) == [made.id]
                assert two.standby.backups == {}
                with pytest.raises(Denied, match="needs admin"):
                    await client.delete_backup(made.id)
            async with Client([two.at[1]], token_file=token_file(tmp_path, "admin")) as admin:
                with pytest.raises(NotFound):
                    await admin.delete_backup("bk-99")
            lines = [
                line for line in two.audits[0].all() if line["method"].endswith("CreateBackup")
            ]
            assert [(line["who"], line["how"], line["role"]) for line in lines] == [
                ("operator", "token", "operator")
            ]
            assert lines[0]["forwarder"] == "b"
            (passed,) = [
                one for one in two.audits[1].all() if one["method"].endswith("CreateBackup")
            ]
            assert (passed["who"], passed["forwarded_to"]) == ("operator", two.at[0])
            assert passed["status"] == "OK"

    run(scenario())


def test_errors_of_the_leader_come_back_as_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pair(Access) as two, Client([two.at[1]]) as client:
            await client.create_backup(BackupRequest(), "r-1")
            with pytest.raises(Invalid, match="other"):
                await client.create_backup(BackupRequest(collections=("x",)), "r-1")

    run(scenario())


@pytest.mark.parametrize("clients_need_one", [True, False])
def test_over_tls_the_leader_is_known_by_its_certificate(
    clients_need_one: bool, tmp_path: Path
) -> None:
    """Whatever names are in it, and whether or not the CA of the clients signed it."""
    known = authority(tmp_path / "known")
    other = authority(tmp_path / "other")
    issuer = known if clients_need_one else other
    cert, key = issuer.issue("a", [x509.DNSName("coordinators.example")])
    leader = Tls(known.ca if clients_need_one else None, cert, key)
    cert, key = known.issue("b")
    standby = Tls(known.ca if clients_need_one else None, cert, key)

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path), (leader, standby)) as two:
            mine = known.issue("client") if clients_need_one else (None, None)
            tls = Tls(known.ca, *mine)
            file = token_file(tmp_path, "operator")
            async with Client([two.at[1]], tls, token_file=file) as client:
                assert (await client.create_backup(BackupRequest(), "r-1")).id
            assert len(two.leader.backups) == 1
            assert two.known.route is not None
            wrong = replace(two.known.route, certificate=two.standby_end.certificate())
            two.known.route = wrong
            async with Client([two.at[1]], tls, token_file=file) as client:
                client._link.leaderless_s = 0.0
                with pytest.raises(Unavailable):
                    await client.create_backup(BackupRequest(), "r-2")
            assert len(two.leader.backups) == 1

    run(scenario())


def stated(**changes: object) -> bytes:
    call = ForwardedCall(
        forwarder="b", leader=TOKEN, method=METHOD, who="root", how="token", role=Role.ADMIN
    )
    return encode(replace_record(call, **changes))


async def told(address: str, header: bytes) -> Exception | None:
    """What the leader says to a call with this header."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = backup_pb2.CreateBackupRequest(request_id="r-9")
        stub = backup_pb2_grpc.BackupServiceStub(channel)
        try:
            await stub.CreateBackup(request, metadata=((HEADER, header),))
        except grpc.aio.AioRpcError as error:
            return from_call_error(error, address)
        return None


def test_only_what_a_coordinator_signed_for_this_call_is_taken(tmp_path: Path) -> None:
    """Everything else is refused, and the refusal is in the audit."""

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path)) as two:
            end, stranger = two.standby_end, Forwarding("b", View(two.known))
            good = stated()
            assert await told(two.at[0], end._key.sign(good) + good) is None
            refused = await told(two.at[0], stranger._key.sign(good) + good)
            assert isinstance(refused, Denied)
            assert "claims to be forwarded by 'b'" in refused.message
            changed = stated(who="other")
            assert isinstance(await told(two.at[0], end._key.sign(good) + changed), Denied)
            for wrong in (
                stated(leader=FencingToken(6)),
                stated(method="/cleancut.v1.BackupService/DeleteBackup"),
                stated(forwarder="c"),
            ):
                assert isinstance(await told(two.at[0], end._key.sign(wrong) + wrong), Unavailable)
            assert await told(two.at[0], b"short") is not None
            assert len(two.leader.backups) == 1
            decisions = [line["decision"] for line in two.audits[0].all()]
            assert decisions == ["allowed", *["denied"] * 6]

    run(scenario())


def test_a_reader_stays_a_reader_on_the_way(tmp_path: Path) -> None:
    """The role that the standby found is checked again by the leader."""

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path)) as two:
            small = stated(role=Role.READER)
            refused = await told(two.at[0], two.standby_end._key.sign(small) + small)
            assert isinstance(refused, Denied)
            assert "needs operator" in refused.message

    run(scenario())


def test_a_forwarded_call_is_not_forwarded_again(tmp_path: Path) -> None:
    """Two standbys that name each other end at once."""

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path)) as two:
            two.leader.leader = two.at[1]  # it has just stopped leading
            async with Client([two.at[1]], token_file=token_file(tmp_path, "admin")) as client:
                client._link.leaderless_s = 0.0
                with pytest.raises(Unavailable, match="standby"):
                    await client.create_backup(BackupRequest(), "r-1")
            assert two.leader.backups == two.standby.backups == {}
            passed = [line for line in two.audits[0].all() if line.get("forwarder") == "b"]
            assert [line["status"] for line in passed] == ["UNAVAILABLE"]

    run(scenario())


def test_where_it_cannot_be_forwarded_the_leader_is_named(tmp_path: Path) -> None:
    """No leader in etcd, one of an earlier version, one that has ended, or a network in the clear:
    the client gets the answer that it always got, with the address."""

    async def scenario() -> None:
        async with pair(by_tokens(tmp_path)) as two:
            good = two.known.route
            assert good is not None
            routes = (
                None,
                replace(good, forwarded=False),
                replace(good, address="127.0.0.1:1"),
                replace(good, address="192.0.2.1:7400"),
                replace(good, name="b"),
            )
            async with grpc.aio.insecure_channel(two.at[1]) as channel:
                stub = backup_pb2_grpc.BackupServiceStub(channel)
                secret = token_file(tmp_path, "admin").read_text().strip()
                metadata = (("authorization", f"Bearer {secret}"),)
                for route in routes:
                    two.known.route = route
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await stub.CreateBackup(
                            backup_pb2.CreateBackupRequest(request_id="r-1"), metadata=metadata
                        )
                    error = from_call_error(caught.value, two.at[1])
                    assert isinstance(error, Unavailable), route
                    assert error.context["leader_address"] == two.at[0], route
            assert two.leader.backups == {}

    run(scenario())


def test_a_leader_that_accepts_no_connection_is_named_soon(tmp_path: Path) -> None:
    """Such as one whose machine has gone: the call's own deadline is not used up on it."""

    async def scenario() -> None:
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with silent:
            await ask_at(port)

    async def ask_at(port: int) -> None:
        async with pair(by_tokens(tmp_path)) as two:
            assert two.known.route is not None
            two.known.route = replace(two.known.route, address=f"127.0.0.1:{port}")
            two.standby_end.connect_s = 0.2
            caller = Caller("root", "token", Role.ADMIN)
            request = backup_pb2.CreateBackupRequest(request_id="r-1")
            assert await two.standby_end.forward(METHOD, request, caller, None) is None

    run(scenario())


def test_etcd_says_who_leads_and_who_signs() -> None:
    """The records that coordinators keep there."""

    async def scenario() -> None:
        at = context()
        members = EtcdMembers(at, lambda: TOKEN)
        assert (await members.leader(), await members.key_of("a")) == (None, "")
        token = await lead(at)
        old = Coordinator(name="a", address="h:1", version="0.1.0")
        leader = Leader(name="a", address="h:1")
        keys = at.keys
        await at.etcd.txn([], [Put(keys.coordinator("a"), encode(old))])
        await at.etcd.txn([], [Put(keys.leader, encode(leader))])
        assert await members.leader() == LeaderRoute("a", "h:1", token, forwarded=False)
        new = replace_record(old, key="ab", certificate="pem")
        await at.etcd.txn([], [Put(keys.coordinator("a"), encode(new))])
        assert await members.leader() == LeaderRoute("a", "h:1", token, "pem")
        assert await members.key_of("a") == "ab"

    run(scenario())
