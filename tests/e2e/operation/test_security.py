"""A set-up with everything locked: TLS and tokens on the API, users in etcd, a key for all else.

The tests run in their order: the last one looks for the secrets of all of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cleancut.client.client import Client
from cleancut.core.auth.roles import Role
from cleancut.core.auth.tokens import BearerToken, digest_of, line_of
from cleancut.core.primitives.errors import Unauthenticated
from cleancut.etcd.client import open_etcd
from cleancut.etcd.login import login_of
from cleancut.qdrant.http import QdrantHttp
from cleancut.runtime.tls import Tls
from cleancut_devcluster.launch.cli import Answer
from cleancut_devcluster.launch.process import wait_for, wait_logged
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused
from tests.support.certificates import Authority
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_users import EtcdUsers
from tests.support.s3_server import SECRET_KEY, S3Server
from tests.support.secret_scan import descendants, find_leaks

BUCKET, CLUSTER = "secured", "locked"
COLLECTION = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2}
POINTS = {"points": [{"id": n, "vector": [n, 1, 2, 3]} for n in range(50)]}


@dataclass
class Locked:
    """`secrets`: by name, all that there are. `seen`: what every command has said."""

    world: World
    folder: Path
    authority: Authority
    s3: S3Server
    secrets: Mapping[str, str]
    seen: dict[str, bytes]

    def cleancut(self, *arguments: str, token: str) -> Answer:
        answer = self.world.cleancut(*arguments, "--token-file", str(self.folder / token))
        self.seen[f"command {len(self.seen) + 1}"] = f"{answer.out}{answer.err}".encode()
        return answer

    def audit(self) -> list[dict[str, Any]]:
        lines = (self.folder / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


def make_secrets(folder: Path) -> dict[str, str]:
    """Each in a file of its own, as programs read them; the digests of the tokens in one."""
    made = {name: f"{name}-{secrets.token_urlsafe(24)}" for name in ("agent", "coordinator", "api")}
    tokens = {f"{role}.token": f"cct_{secrets.token_urlsafe(24)}" for role in Role}
    made |= {**tokens, "unknown.token": "cct_nobody-knows-this-one", "wrong": "not-the-password"}
    made["store"] = base64.b64encode(secrets.token_bytes(32)).decode()
    for name, secret in made.items():
        (folder / name).write_text(secret + "\n")
    lines = [line_of(BearerToken(role, role, digest_of(tokens[f"{role}.token"]))) for role in Role]
    (folder / "tokens").write_text("\n".join(lines) + "\n")
    return made


@pytest.fixture(scope="module")
def locked(
    launch_module: Launch, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    """One peer, its agent and one coordinator; the least rights of docs/how-to/security.md."""
    folder = tmp_path_factory.mktemp("locked")
    made = make_secrets(folder)
    authority = Authority(folder)
    cert, key = authority.issue("coordinator")

    def flags(user: str) -> tuple[str, ...]:
        login = ("--etcd-user", user, "--etcd-password-file", str(folder / user))
        keys = ("--qdrant-api-key-file", str(folder / "api"))
        return (*login, *keys, "--store-key-file", str(folder / "store"))

    api = ("--grpc-cert", str(cert), "--grpc-key", str(key), "--tokens-file")
    secured = Secured(
        api_key=made["api"],
        agent=flags("agent"),
        coordinator=(
            *flags("coordinator"),
            *(*api, str(folder / "tokens"), "--audit-log", str(folder / "audit.log")),
        ),
        client=("--ca", str(authority.ca), "--token-file", str(folder / "reader.token")),
    )
    with (
        EtcdCluster(1, extra_args=("--bcrypt-cost=4",)) as etcd,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in s3.environment().items():
            patch.setenv(name, value)
        s3.make_bucket(BUCKET)
        passwords = {user: made[user] for user in ("agent", "coordinator")}
        EtcdUsers(etcd.endpoints[0]).enable(passwords, prefix=f"/cleancut/{CLUSTER}/")
        world = launch_module(
            peers=1,
            coordinators=1,
            cluster=CLUSTER,
            etcd=etcd.endpoints[0],
            store=s3.url(BUCKET),
            secured=secured,
        )
        yield Locked(world, folder, authority, s3, {**made, "S3 key": SECRET_KEY}, {})


def test_a_backup_and_a_restore_need_no_more_than_the_least_rights(locked: Locked) -> None:
    """etcd's users as documented, an operator's token, the key of the cluster."""
    url = locked.world.setup.peers[0].url

    async def fill() -> None:
        http = QdrantHttp(url, locked.secrets["api"])
        await http.call("PUT", "/collections/books", COLLECTION, timeout_s=30)
        query = {"wait": "true"}
        await http.call("PUT", "/collections/books/points", POINTS, timeout_s=30, query=query)
        await http.close()

    locked.world.run(fill())
    made = locked.cleancut("backup", "create", token="operator.token").value("backup")
    assert made["evidence"]["consistency"] == "point-in-time"
    rename = ("--rename", "books=again", "--yes")
    done = locked.cleancut("restore", "start", made["id"], *rename, token="operator.token")
    assert done.value("restore")["state"] == "DONE", done.err


def test_who_may_not_is_refused_with_exit_code_8(locked: Locked) -> None:
    delete = ("backup", "delete", "1", "--yes")
    refused(locked.cleancut(*delete, token="reader.token"), 8, "needs admin", "DENIED")
    refused(locked.cleancut(*delete, token="unknown.token"), 8, "UNAUTHENTICATED")
    told = [(one["who"], one["decision"], one["method"]) for one in locked.audit()]
    assert told == [
        ("operator", "allowed", "BackupService/CreateBackup"),
        ("operator", "allowed", "RestoreService/StartRestore"),
        ("reader", "denied", "BackupService/DeleteBackup"),
        ("", "denied", "BackupService/DeleteBackup"),
    ]
    assert locked.audit()[-1]["request"] == {"id": "1", "confirmed": True}


def test_the_certificate_and_a_token_change_while_all_runs(locked: Locked) -> None:
    """Another CA altogether: whoever trusts the old one goes away, and nothing was restarted."""
    (locked.folder / "new").mkdir()
    newer = Authority(locked.folder / "new")
    cert, key = newer.issue("coordinator")
    key.replace(locked.folder / key.name)
    cert.replace(locked.folder / cert.name)
    refused(locked.cleancut("status", token="admin.token"), 7, "certificate")

    async def body() -> None:
        address = [locked.world.setup.addresses]
        reader, admin = locked.folder / "reader.token", locked.folder / "admin.token"
        async with (
            Client(address, Tls(newer.ca), token_file=reader) as leaves,
            Client(address, Tls(newer.ca), token_file=admin) as stays,
        ):
            assert (await leaves.cluster_status()).cluster == CLUSTER
            tokens = locked.folder / "tokens"
            kept = [one for one in tokens.read_text().splitlines() if "reader" not in one]
            tokens.write_text("\n".join(kept) + "\n")

            async def refused_by_now() -> bool | None:
                try:
                    await leaves.cluster_status()
                except Unauthenticated:
                    return True
                return None

            await wait_for(refused_by_now, "the token is refused", 20.0, 0.1)
            assert (await stays.cluster_status()).cluster == CLUSTER

    locked.world.run(body())


def test_no_secret_is_anywhere(locked: Locked) -> None:
    """Not in logs, arguments, metrics, answers, the audit, etcd or the store, whatever failed."""
    world, setup = locked.world, locked.world.setup

    async def records() -> dict[str, bytes]:
        login = login_of("coordinator", locked.folder / "coordinator")
        async with open_etcd([setup.etcd_endpoint], login=login) as etcd:
            found = (await etcd.list(f"/cleancut/{CLUSTER}/")).items
        return {kv.key: kv.value for kv in found}

    async def look() -> tuple[list[str], set[int]]:
        wrong = ("--etcd-user", "agent", "--etcd-password-file", str(locked.folder / "wrong"))
        setup.secured = Secured(
            agent=(*wrong, "--qdrant-api-key-file", str(locked.folder / "wrong"))
        )
        failing = await setup.start_agent(setup.peers[0].url)
        async with asyncio.timeout(30):
            assert await failing.process.wait() == 8, failing.tail()
        running = [setup.agents[0], setup.coordinators[0].child]
        ports = [await wait_logged(child, "listening", "http_port") for child in running]
        pids = {child.pid for child in running} | {setup.peers[0].pid}
        return [f"http://127.0.0.1:{port}/metrics" for port in ports], descendants(pids)

    metrics, processes = world.run(look())
    logs = [path for path in setup.base_dir.rglob("*.log") if path.is_file()]
    assert len(logs) >= 4
    assert all(path.stat().st_size for path in logs if "agent" in path.name)
    client = locked.s3.client()
    objects = {
        one["Key"]: client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        for one in client.list_objects_v2(Bucket=BUCKET)["Contents"]
    }
    assert any("groups/" in name for name in objects)
    kept = world.run(records())
    assert any("/op/" in name for name in kept)
    leaks = find_leaks(
        locked.secrets,
        files=[*logs, locked.folder / "audit.log", locked.folder / "tokens"],
        urls=metrics,
        texts={**locked.seen, **objects, **kept},
        processes=processes,
    )
    assert leaks == []
