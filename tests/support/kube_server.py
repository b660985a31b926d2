"""A real API server of Kubernetes on loopback, with an etcd of its own; no nodes, no controllers.

The binary is $KUBE_APISERVER, else kube-apiserver on PATH. Callers are known by tokens, and have
only what RBAC gives them.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import yaml

from cleancut_devcluster.launch.free_ports import free_ports
from tests.support.certificates import Authority
from tests.support.etcd_cluster import EtcdCluster

READY_S = 60.0
POLL_S = 0.1
NO_SERVER = "no API server of Kubernetes: set KUBE_APISERVER, or put kube-apiserver on PATH"
ADMIN = "admin-of-all"
_PLURAL = {"NetworkPolicy": "networkpolicies"}
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def kube_apiserver() -> str | None:
    """Its path, if there is one."""
    return os.environ.get("KUBE_APISERVER") or shutil.which("kube-apiserver")


class Answer(NamedTuple):
    status: int
    body: Any

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass
class KubeServer:
    """`with` starts it, and removes all traces. `accounts`: tokens of service accounts, each
    `namespace:name`."""

    accounts: dict[str, str]
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="kube-")))
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    etcd: EtcdCluster = field(default_factory=EtcdCluster)

    def __enter__(self) -> KubeServer:
        self.etcd.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        self.etcd.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        authority = Authority(self.folder)
        cert, key = authority.issue("kube-apiserver")
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        tokens = [f'{ADMIN},admin,admin,"system:masters"']
        for account, token in self.accounts.items():
            tokens.append(
                f'{token},system:serviceaccount:{account},{account},"system:serviceaccounts"'
            )
        (self.folder / "tokens.csv").write_text("\n".join(tokens) + "\n")
        binary = kube_apiserver()
        assert binary is not None, NO_SERVER
        flags = {
            "etcd-servers": ",".join(f"http://{one}" for one in self.etcd.endpoints),
            "bind-address": "127.0.0.1",
            "secure-port": str(port),
            "tls-cert-file": str(cert),
            "tls-private-key-file": str(key),
            "token-auth-file": str(self.folder / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(cert),
            "service-account-signing-key-file": str(key),
            "service-cluster-ip-range": "10.0.0.0/24",
            "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none",
        }
        argv = [binary, *(f"--{name}={value}" for name, value in flags.items())]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        until_s = time.monotonic() + READY_S
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise AssertionError((self.folder / "log").read_text()[-4000:])
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        with suppress(OSError):
            return self.call("GET", "/readyz").status == 200
        return False

    def call(self, method: str, path: str, body: Any = None, *, token: str = ADMIN) -> Answer:
        """What it answers; text that is not JSON as its message."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Accept", "application/json")
        if body is not None:
            request.data = json.dumps(body).encode()
            patch = "merge-patch+" if method == "PATCH" else ""
            request.add_header("Content-Type", f"application/{patch}json")
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return Answer(answer.status, _parsed(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _parsed(error.read()))

    def create(self, one: Any, token: str = ADMIN) -> Answer:
        return self.call("POST", path_of(one), one, token=token)

    def table(self, path: str) -> list[dict[str, Any]]:
        """What `kubectl get` prints: a row for each object, by column."""
        request = urllib.request.Request(self.url + path)
        request.add_header("Authorization", f"Bearer {ADMIN}")
        request.add_header("Accept", _TABLE)
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            found = json.load(answer)
        names = [one["name"] for one in found["columnDefinitions"]]
        return [dict(zip(names, row["cells"], strict=True)) for row in found["rows"]]

    def kubeconfig(self, token: str, namespace: str) -> Path:
        """A file for a client with this token."""
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")}
        context = {"cluster": "here", "user": "one", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "one", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": context}],
            "current-context": "here",
        }
        path = self.folder / f"kubeconfig-{token}"
        path.write_text(yaml.safe_dump(config))
        self.folder.chmod(0o755)  # a client may be another user
        return path


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return {"message": content.decode(errors="replace")}


def path_of(one: Any, name: str = "") -> str:
    """Where objects of its kind are, or the one of this name."""
    version, kind = one["apiVersion"], one["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = one["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{inside}/{_PLURAL.get(kind, kind.lower() + 's')}" + (f"/{name}" if name else "")
