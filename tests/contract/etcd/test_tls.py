"""mTLS to a real etcd: the certificate's common name is the user, with that user's rights."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cleancut.core.primitives.errors import CleancutError, Denied, Invalid, TimedOut, Unavailable
from cleancut.etcd.channels import MAX_REPLACED
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.ports.coordination import Created, Put
from cleancut.runtime.tls import Tls
from tests.contract.etcd.worlds import watching
from tests.support.certificates import Authority
from tests.support.etcd_cluster import EtcdCluster, ServerTls, etcd_binary


@dataclass(frozen=True)
class Secured:
    cluster: EtcdCluster
    authority: Authority

    @property
    def endpoint(self) -> str:
        return self.cluster.endpoints[0]

    def etcdctl(self, *arguments: str) -> None:
        folder = self.authority.folder
        subprocess.run(
            [
                str(etcd_binary().with_name("etcdctl")),
                f"--endpoints=https://{self.endpoint}",
                f"--cacert={self.authority.ca}",
                f"--cert={folder / 'root.pem'}",
                f"--key={folder / 'root.key'}",
                *arguments,
            ],
            check=True,
            capture_output=True,
            timeout=20,
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One member with client certificates and users: `agent` may use /cleancut/ only."""
    authority = Authority(tmp_path_factory.mktemp("certs"))
    cert, key = authority.issue("server")
    for name in ("root", "agent", "stranger"):
        authority.issue(name)
    with EtcdCluster(1, tls=ServerTls(authority.ca, cert, key)) as cluster:
        secured = Secured(cluster, authority)
        secured.etcdctl("user", "add", "root", "--no-password")
        secured.etcdctl("user", "grant-role", "root", "root")
        secured.etcdctl("role", "add", "agent")
        secured.etcdctl(
            "role", "grant-permission", "agent", "--prefix=true", "readwrite", "/cleancut/"
        )
        secured.etcdctl("user", "add", "agent", "--no-password")
        secured.etcdctl("user", "grant-role", "agent", "agent")
        secured.etcdctl("auth", "enable")
        yield secured


def client(secured: Secured, name: str, endpoint: str = "") -> AbstractAsyncContextManager[Etcd]:
    folder = secured.authority.folder
    return open_etcd(
        [endpoint or secured.endpoint],
        tls=Tls(secured.authority.ca, folder / f"{name}.pem", folder / f"{name}.key"),
    )


def test_all_calls_work_for_a_user_with_rights(secured: Secured) -> None:
    """Reads, writes, watches and leases, by address and by host name."""

    async def body(etcd: Etcd, key: str) -> None:
        async with etcd.lease(5) as lease:
            result = await etcd.txn([Created(key, 0)], [Put(key, b"v", lease.id)])
            assert result.applied
            async with watching(etcd, "/cleancut/", result.revision) as watch:
                assert (await anext(watch))[0].kv.key == key
        assert (await etcd.list("/cleancut/")).items == ()

    async def main() -> None:
        port = secured.endpoint.rpartition(":")[2]
        async with asyncio.timeout(30):
            async with client(secured, "agent") as etcd:
                await body(etcd, "/cleancut/a")
            async with client(secured, "agent", f"localhost:{port}") as etcd:
                await body(etcd, "/cleancut/b")

    asyncio.run(main())


def test_what_a_user_may_not_do_is_denied(secured: Secured) -> None:
    """Outside its prefix, and without a user of that name: Denied at once, watches too."""

    async def main() -> None:
        async with asyncio.timeout(30):
            async with client(secured, "agent") as etcd:
                with pytest.raises(Denied):
                    await etcd.txn([], [Put("/elsewhere", b"v")])
                with pytest.raises(Denied):
                    await etcd.list("/")
                with pytest.raises(Denied):
                    await anext(etcd.watch("/elsewhere", 0))
            async with client(secured, "stranger") as etcd:
                with pytest.raises(Denied):
                    await etcd.get("/cleancut/a")

    asyncio.run(main())


def test_a_certificate_that_is_replaced_is_used_without_a_restart(
    secured: Secured, tmp_path: Path
) -> None:
    """The same client has the rights of whatever certificate is there, and its watch goes on."""
    folder = secured.authority.folder
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"

    def become(name: str) -> None:
        for path in (cert, key):
            path.write_bytes((folder / f"{name}{path.suffix}").read_bytes())

    async def main() -> None:
        become("agent")
        tls = Tls(secured.authority.ca, cert, key)
        async with asyncio.timeout(30), open_etcd([secured.endpoint], tls=tls) as etcd:
            etcd._link._channels._files._look_s = 0
            result = await etcd.txn([], [Put("/cleancut/a", b"1")])
            async with watching(etcd, "/cleancut/", result.revision + 1) as watch:
                for _ in range(MAX_REPLACED):  # so that the watch's own connection is closed, too
                    become("stranger")
                    with pytest.raises(Denied):
                        await etcd.get("/cleancut/a")
                    become("agent")
                    assert await etcd.get("/cleancut/a") is not None
                await etcd.txn([], [Put("/cleancut/a", b"2")])
                assert (await anext(watch))[0].kv.value == b"2"

    asyncio.run(main())


def test_strangers_get_no_connection(secured: Secured, tmp_path: Path) -> None:
    """No client certificate, one of another CA, a server of another CA, plain text: all fail in
    bounded time, retryable, with a hint that names the endpoint."""
    other = Authority(tmp_path)
    cert, key = other.issue("agent")
    good = secured.authority
    agent = (good.folder / "agent.pem", good.folder / "agent.key")
    ways = [Tls(good.ca), Tls(good.ca, cert, key), Tls(other.ca, *agent), None]

    async def fail(tls: Tls | None) -> None:
        async with open_etcd([secured.endpoint], call_s=3, tls=tls) as etcd:
            with pytest.raises((Unavailable, TimedOut)) as caught:
                await etcd.get("/cleancut/a")
            assert secured.endpoint in caught.value.hint

    async def main() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            tasks = [group.create_task(fail(tls)) for tls in ways]
        assert not any(task.cancelled() for task in tasks)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("endpoints", "tls"),
    [
        ([], None),
        (["http://a:2379"], None),
        (["a"], None),
        (["a:2379"], Tls(None, Path("c"), Path("k"))),
        (["a:2379"], Tls(Path("/nonexistent/ca.pem"))),
    ],
)
def test_settings_that_cannot_work_are_invalid(endpoints: list[str], tls: Tls | None) -> None:
    """No endpoint, a URL, no port, a certificate without a CA, a file that is not there."""

    async def main() -> None:
        async with open_etcd(endpoints, tls=tls):
            pass

    with pytest.raises(Invalid) as caught:
        asyncio.run(main())
    assert isinstance(caught.value, CleancutError)
    assert caught.value.hint
