"""What is rendered runs: a coordinator and an agent are started as their containers say, with real
etcd, S3 and a stand-in peer; their probes, metrics and API answer at the rendered ports."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from cleancut_devcluster.launch.free_ports import free_ports
from cleancut_devcluster.launch.process import Child, wait_for
from cleancut_devcluster.launch.qdrant import launch_peers
from tests.chart.pod import Pod, fetch, port_of, probe
from tests.chart.rendering import Object, agent_values, objects, template, tool, with_agent
from tests.support.certificates import Authority
from tests.support.etcd_cluster import EtcdCluster, ServerTls
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

LIMIT_S = 120.0
WAIT_S = 40.0
API_KEY = "a-key-of-qdrants"
GONE_WITHIN_S = 25.0
"""Qdrant's pod has 30 s."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where other users may look in, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="cleancut-chart-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def values_of(etcd: str, qdrant: str, store: str) -> dict[str, Any]:
    """A production's values, but for addresses."""
    api, http, agent = free_ports(3)
    return {
        "cluster": "prod",
        "qdrant": {"urls": [qdrant], "apiKeySecret": "qdrant-apikey"},
        "store": {"url": store, "credentialsSecret": "s3"},
        "etcd": {"endpoints": [etcd], "tlsSecret": "etcd-client"},
        "api": {"port": api, "tlsSecret": "api", "clientSecret": "operator"},
        "httpPort": http,
        "agent": {"httpPort": agent, "qdrantUrl": qdrant},
        "settings": {
            "retention": {"keep-daily": 7},
            "schedule": {"nightly": {"cron": "30 2 * * *", "jitter": 60}},
        },
        "monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
    }


def rendered_with(values: dict[str, Any], folder: Path) -> list[Object]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    ran = template("helm4", file)
    assert ran.code == 0, ran.err
    found = list(objects(ran.out))
    return [*found, with_agent(agent_values(tuple(found)))]


def only(found: list[Object], kind: str) -> Object:
    (one,) = (one for one in found if one["kind"] == kind)
    return one


def secrets_of(authority: Authority) -> dict[str, dict[str, bytes]]:
    """What somebody created with kubectl and cert-manager."""
    secrets: dict[str, dict[str, bytes]] = {
        "qdrant-apikey": {"api-key": API_KEY.encode()},
        "s3": {
            "credentials": (
                f"[default]\naws_access_key_id = {ACCESS_KEY}\n"
                f"aws_secret_access_key = {SECRET_KEY}\n"
            ).encode()
        },
    }
    for name in ("etcd-client", "api", "operator"):
        cert, key = authority.issue(name)
        files = {"ca.crt": authority.ca, "tls.crt": cert, "tls.key": key}
        secrets[name] = {key: path.read_bytes() for key, path in files.items()}
    return secrets


@asynccontextmanager
async def running(pod: Pod, name: str) -> AsyncIterator[Child]:
    child = await pod.start(name)
    try:
        yield child
    finally:
        await child.kill()


async def ended(child: Child) -> float:
    """Seconds from SIGTERM to its end, which has to be a good one."""
    began = time.monotonic()
    child.process.terminate()
    async with asyncio.timeout(30):
        code = await child.process.wait()
    assert code == 0, child.tail()
    return time.monotonic() - began


async def wait_status(container: Object, name: str, child: Child) -> None:
    async def found() -> bool | None:
        assert child.running, child.tail()
        return (await probe(container, name)) == 200 or None

    await wait_for(found, f"{name} of {child.name}", WAIT_S)


async def wait_metric(container: Object, port: str, line: str) -> None:
    """Until the metrics at the port, as Prometheus finds it, have a line that starts so."""

    async def found() -> bool | None:
        _, text = await fetch(container, port, "/metrics")
        return any(one.startswith(line) for one in text.splitlines()) or None

    await wait_for(found, f"{line} at {port}", WAIT_S)


async def exec_in(pod: Pod, container: Object, service: Object, *command: str) -> str:
    """`kubectl exec`: a command in the container's environment, its Service being localhost."""
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    env = {key: text.replace(name, "localhost") for key, text in pod.env(container).items()}
    argv = [word.replace(name, "localhost") for word in command]
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, (argv, out.decode(), err.decode())
    return out.decode()


async def fill(url: str) -> None:
    """A collection that can be backed up."""
    async with aiohttp.ClientSession(headers={"api-key": API_KEY}) as session:
        config = {"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": 2}
        points = [{"id": i, "vector": [i % 7, 1, 2, 3], "payload": {"n": i}} for i in range(200)]
        for path, body in (("", config), ("/points?wait=true", {"points": points})):
            async with session.put(f"{url}/collections/docs{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()


async def scenario(folder: Path, stack: AsyncExitStack) -> None:
    (folder / "certs").mkdir()
    authority = Authority(folder / "certs")
    etcd = EtcdCluster(1, tls=ServerTls(authority.ca, *authority.issue("server")))
    s3 = S3Server(folder / "s3")
    peers = launch_peers(1, folder / "peers", api_key=API_KEY)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(stack.enter_context, etcd))
        group.create_task(asyncio.to_thread(stack.enter_context, s3))
        (peer,) = await stack.enter_async_context(peers)
        await fill(peer.url)
    store = s3.url(s3.make_bucket("backups"), "qdrant")
    found = rendered_with(values_of(etcd.endpoints[0], peer.url, store), folder)
    maps = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    qdrant = Pod(only(found, "StatefulSet"), maps, folder / "qdrant-0")
    ours = Pod(only(found, "Deployment"), maps, folder / "coordinator-0")
    helper = Pod(only(found, "Pod"), maps, folder / "test")
    agent, coordinator = qdrant.container("cleancut-agent"), ours.container("coordinator")
    service, secrets = only(found, "Service"), secrets_of(authority)
    sidecar = await stack.enter_async_context(running(qdrant, "cleancut-agent"))
    await wait_status(agent, "livenessProbe", sidecar)
    said = [line for line in sidecar.log.read_text().splitlines() if "cannot read" in line]
    assert said, sidecar.tail()  # and it is alive: nobody restarts it, nor Qdrant's pod
    runs_as(sidecar, agent["securityContext"]["runAsUser"])
    for pod in (qdrant, ours, helper):
        pod.give_secrets(secrets)
    leader = await stack.enter_async_context(running(ours, "coordinator"))
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        await wait_status(coordinator, name, leader)
    runs_as(leader, ours.spec["securityContext"]["runAsUser"])
    await metrics_are_found(found, agent, coordinator)
    async with asyncio.TaskGroup() as group:
        group.create_task(the_api_works(ours, service))
        for one in helper.spec["containers"]:
            group.create_task(exec_in(helper, one, service, *helper.command(one)))
    assert await ended(sidecar) < GONE_WITHIN_S
    assert await ended(leader) < ours.spec["terminationGracePeriodSeconds"]


def runs_as(child: Child, user: int) -> None:
    """As the rendered user, and without a way to become another one; only root can see to that."""
    if os.getuid() == 0:
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert f"Uid:\t{user}\t{user}" in status
        assert "NoNewPrivs:\t1" in status


async def metrics_are_found(found: list[Object], agent: Object, coordinator: Object) -> None:
    """At the ports that the monitors name, of the Service and of Qdrant's pods."""
    (endpoint,) = only(found, "ServiceMonitor")["spec"]["endpoints"]
    ports = {one["name"]: one for one in only(found, "Service")["spec"]["ports"]}
    await wait_metric(
        coordinator, ports[endpoint["port"]]["targetPort"], "cleancut_coordinator_leader{"
    )
    (endpoint,) = only(found, "PodMonitor")["spec"]["podMetricsEndpoints"]
    line = 'cleancut_agent_session_open{agent="qdrant-0",cluster="prod"} 1'
    await wait_metric(agent, endpoint["port"], line)


async def the_api_works(ours: Pod, service: Object) -> None:
    """By `kubectl exec`, at the Service's port, with the rendered client certificate."""
    coordinator = ours.container("coordinator")
    (grpc,) = (one for one in service["spec"]["ports"] if one["name"] == "grpc")
    assert port_of(coordinator, grpc["targetPort"]) == grpc["port"]
    assert ours.env(coordinator)["CLEANCUT_COORDINATOR"].endswith(f":{grpc['port']}")
    cleancut = (sys.executable, "-m", "cleancut.cli.main", "-o", "json")
    made = json.loads(await exec_in(ours, coordinator, service, *cleancut, "backup", "create"))
    assert made["backup"]["state"] == "COMMITTED"
    assert made["backup"]["collections"] == ["docs"]
    async with asyncio.TaskGroup() as group:
        listing = exec_in(ours, coordinator, service, *cleancut, "schedule", "list")
        proving = exec_in(ours, coordinator, service, *cleancut, "backup", "verify", "latest")
        schedules, proof = group.create_task(listing), group.create_task(proving)
    (nightly,) = json.loads(schedules.result())["schedules"]
    assert json.loads(proof.result())
    assert (nightly["name"], nightly["cron"]) == ("nightly", "30 2 * * *")


def test_a_backup_through_all_that_is_rendered(folder: Path) -> None:
    """From an agent without any secret to a committed group, and to an end in time."""
    tool("helm4")

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
            await scenario(folder, stack)

    asyncio.run(bounded())
