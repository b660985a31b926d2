"""A user with a password at a real etcd: least rights, logins that end, passwords that change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cleancut.core.primitives.errors import Denied
from cleancut.etcd.calls import REVOKE
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.etcd.login import login_of
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.ports.coordination import Created, Delete, Put
from tests.contract.etcd.worlds import watching
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_users import EtcdUsers

OURS, THEIRS = "/cleancut/prod/", "/cleancut/test/"
POLL_S = 0.1
QUICK = ("--bcrypt-cost=4",)
"""Of the hashes of passwords, which are meant to take long."""


@dataclass(frozen=True)
class Guarded:
    cluster: EtcdCluster
    folder: Path
    users: EtcdUsers

    def password(self, text: str, name: str = "password") -> Path:
        path = self.folder / name
        path.write_text(text + "\n")
        return path

    def client(
        self, password: Path, user: str = "coordinator"
    ) -> AbstractAsyncContextManager[Etcd]:
        login = login_of(user, password)
        return open_etcd(self.cluster.endpoints, login=login, call_s=4)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One member that knows the users of docs/how-to/security.md."""
    with EtcdCluster(1, extra_args=QUICK) as cluster:
        endpoint = cluster.endpoints[0]
        EtcdUsers(endpoint).enable({"coordinator": "first", "agent": "first"})
        users = EtcdUsers(endpoint, as_root=True)
        yield Guarded(cluster, tmp_path_factory.mktemp("passwords"), users)


def run(body: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body

    asyncio.run(bounded())


async def until_works(etcd: Etcd, key: str) -> None:
    while True:
        try:
            await etcd.get(key)
        except Denied:
            await asyncio.sleep(POLL_S)
        else:
            return


@pytest.mark.parametrize(
    ("user", "own"), [("coordinator", "ctl"), ("agent", "sess/a"), ("agent", "vote/1/CUT/a")]
)
def test_a_user_does_all_of_its_work_and_nothing_outside_its_prefix(
    guarded: Guarded, user: str, own: str
) -> None:
    """Reads, guarded writes, leases and watches; another cluster's keys are Denied at once."""

    async def body() -> None:
        async with guarded.client(guarded.password("first"), user) as etcd:
            key = f"{OURS}{own}"
            async with etcd.lease(5) as lease:
                result = await etcd.txn([Created(key, 0)], [Put(key, b"v", lease.id)])
                assert result.applied
                async with watching(etcd, OURS, result.revision) as watch:
                    assert (await anext(watch))[0].kv.key == key
            assert (await etcd.list(OURS)).items == ()
            await etcd.version()
            for way in (
                etcd.get(f"{THEIRS}ctl"),
                etcd.list("/"),
                etcd.txn([], [Put(f"{THEIRS}ctl", b"v")]),
                anext(etcd.watch(THEIRS, 0)),
            ):
                with pytest.raises(Denied) as caught:
                    await way
            assert user in caught.value.hint

    run(body())


def test_an_agents_user_commands_nobody(guarded: Guarded) -> None:
    """It reads what it is told, cannot tell others, and cannot end the leader's lease."""

    async def body() -> None:
        password = guarded.password("first")
        async with (
            guarded.client(password) as leads,
            guarded.client(password, "agent") as agent,
            leads.lease(5) as lease,
        ):
            key = f"{OURS}leader"
            told = await leads.txn([Created(key, 0)], [Put(key, b"me", lease.id)])
            assert await agent.get(key) is not None
            for name in ("ctl", "leader", "settings", "group/1", "fence/1", "op/x", "id"):
                with pytest.raises(Denied):
                    await agent.txn([], [Put(f"{OURS}{name}", b"mine")])
            with pytest.raises(Denied):
                await agent.txn([Created(key, told.revision)], [Delete(key)])
            with pytest.raises(Denied):
                await agent._link.repeat(REVOKE, pb.LeaseRevokeRequest(id=lease.id))
            assert lease.alive()

    run(body())


def test_a_wrong_password_is_denied_and_not_told(guarded: Guarded) -> None:
    async def body() -> None:
        async with guarded.client(guarded.password("wrong-one", "wrong")) as etcd:
            with pytest.raises(Denied) as caught:
                await etcd.get(f"{OURS}ctl")
            assert "wrong-one" not in str(caught.value)
            with pytest.raises(Denied):
                await anext(etcd.watch(OURS, 0))

    run(body())


def test_a_login_that_is_over_is_made_again(guarded: Guarded) -> None:
    """Tokens live in a member's memory: it is started anew, and nobody notices, watches neither;
    nor when rights change, which makes all tokens old."""

    async def body() -> None:
        async with guarded.client(guarded.password("first")) as etcd:
            key = f"{OURS}again"
            before = await etcd.txn([Created(key, 0)], [Put(key, b"1")])
            async with watching(etcd, OURS, before.revision + 1) as watch:
                member = guarded.cluster.members[0]
                await asyncio.to_thread(guarded.cluster.kill, member)
                guarded.cluster.restart(member)
                await asyncio.to_thread(guarded.cluster.wait_healthy)
                assert (await etcd.get(key)) is not None
                words = ("role", "grant-permission", "agent", "read", "/cleancut/more")
                await asyncio.to_thread(guarded.users.etcdctl, *words)
                await etcd.txn([Created(key, before.revision)], [Put(key, b"2")])
                assert (await anext(watch))[0].kv.value == b"2"

    run(body())


def test_a_password_changes_without_a_restart(guarded: Guarded) -> None:
    """Between etcd's change and that of the file calls are Denied; then they go on. With the file
    first, nobody is denied anything."""
    password = guarded.password("first", "changing")

    async def body() -> None:
        async with guarded.client(password) as etcd:
            await etcd.get(f"{OURS}ctl")
            await asyncio.to_thread(guarded.users.set_password, "coordinator", "second")
            with pytest.raises(Denied):
                await etcd.get(f"{OURS}ctl")
            guarded.password("second", "changing")
            await until_works(etcd, f"{OURS}ctl")
            guarded.password("first", "changing")
            await etcd.get(f"{OURS}ctl")
            await asyncio.to_thread(guarded.users.set_password, "coordinator", "first")
            await etcd.get(f"{OURS}ctl")

    run(body())


def test_an_etcd_that_asks_for_nobody_is_used_all_the_same(tmp_path: Path) -> None:
    """As etcd's own clients do; once it asks, the same client tells who it is."""
    with EtcdCluster(1, extra_args=QUICK) as cluster:
        users = EtcdUsers(cluster.endpoints[0])
        one = Guarded(cluster, tmp_path, users)

        async def body() -> None:
            async with one.client(one.password("first")) as etcd:
                key = f"{OURS}ctl"
                await etcd.txn([], [Put(key, b"1")])
                passwords = {"coordinator": "first", "agent": "other"}
                await asyncio.to_thread(users.enable, passwords)
                assert await etcd.get(key) is not None

        run(body())
