"""What the tutorial installs, on the cluster of this machine, and what tests ask of it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.k8s import guide
from tests.k8s.cluster import call, ctr, inside, kubectl, until
from tests.k8s.configuration import RUN, SUPERUSER
from tests.support.certificates import Authority

ARCHIVES = RUN.parent / "images"
SPACE = "qdrant"
"""The tutorial's namespace, and the name of Qdrant's release in it."""
BUCKET = "s3://backups/qdrant?endpoint=http://s3.store:8333&path_style=1&region=us-east-1"
KEYS = "[default]\naws_access_key_id = cleancut\naws_secret_access_key = cleancutsecret\n"
POINTS = {"docs": 2000, "wiki": 3000}
BACKUP_S = 240.0
MEMORY, SPILL = "512Mi", "64Mi"
"""What an agent may have here: so little that a scenario can exceed it."""

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsGroup": 2000,
    "runAsNonRoot": True,
    "runAsUser": 1000,
}


def image_of(name: str) -> str:
    """The reference that an archive's image is imported under."""
    return (ARCHIVES / f"{name}.id").read_text().split()[1]


def load_images() -> None:
    """All archives are in containerd."""
    for archive in sorted(ARCHIVES.glob("*.tar")):
        ctr("images", "import", str(archive))


def visit(*arguments: str) -> str:
    """What tests.k8s.visitor printed."""
    return call(sys.executable, "-m", "tests.k8s.visitor", *arguments, timeout_s=180)


@dataclass(slots=True)
class World:
    """One installation in `space`, and the folder that the guide's commands run in."""

    desk: guide.Desk
    space: str = SPACE

    def kubectl(self, *arguments: str, text: str | None = None, timeout_s: float = 120.0) -> str:
        return kubectl("-n", self.space, *arguments, text=text, timeout_s=timeout_s)

    def ask(self, *arguments: str, timeout_s: float = BACKUP_S) -> tuple[int, str, str]:
        """How `cleancut` ended in a coordinator's pod, and what it said."""
        tool = str(Path(sys.executable).with_name("kubectl"))
        where = ("-n", self.space, "exec", "deploy/cleancut", "--", "cleancut")
        command = inside(tool, f"--kubeconfig={SUPERUSER}", *where, *arguments)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def cleancut(self, *arguments: str, timeout_s: float = BACKUP_S) -> str:
        """What it printed. Raises: RuntimeError, if it did not end well."""
        code, out, err = self.ask(*arguments, timeout_s=timeout_s)
        if code:
            raise RuntimeError(f"cleancut {' '.join(arguments)}: exit {code}: {out}{err}")
        return out

    def read(self, *arguments: str) -> Any:
        return json.loads(self.cleancut("-o", "json", *arguments))

    def status(self) -> Any:
        """Whatever is wrong; what is not reachable has no status."""
        return json.loads(self.ask("-o", "json", "status")[1])["status"]

    def backup(self, number: str) -> Any:
        return self.read("backup", "show", number)["backup"]

    def back_up(self) -> str:
        """The number of a backup that was committed."""
        number = self.cleancut("-o", "name", "backup", "create").strip()
        assert self.backup(number)["state"] == "COMMITTED"
        return number

    def state_becomes(self, number: str, *states: str, timeout_s: float = BACKUP_S) -> str:
        """The state of these in which the backup was seen first."""
        seen = ""

        def reached() -> bool:
            nonlocal seen
            seen = self.backup(number)["state"]
            return seen in states

        until(reached, f"backup {number} is {' or '.join(states)}", timeout_s)
        return seen

    def endpoints(self) -> int:
        """Pods of Qdrant that its Service sends calls to."""
        which = ("-l", f"kubernetes.io/service-name={SPACE}", "-o", "json")
        found = json.loads(self.kubectl("get", "endpointslices", *which))["items"]
        every = [one for slice_ in found for one in slice_.get("endpoints") or ()]
        return sum(bool(one["conditions"].get("ready")) for one in every)

    def pods_ready(self, which: str) -> int:
        """Pods of these labels that are ready."""
        found = json.loads(self.kubectl("get", "pods", "-l", which, "-o", "json"))["items"]
        return sum(map(_ready, found))

    def pods(self, number: int, which: str = f"app.kubernetes.io/instance={SPACE}") -> bool:
        """True if there are so many pods, and all of them are ready."""
        found = json.loads(self.kubectl("get", "pods", "-l", which, "-o", "json"))["items"]
        return len(found) == number and all(map(_ready, found))

    def rolled_out(self, what: str = "statefulset/qdrant", timeout_s: float = 400.0) -> None:
        self.kubectl(
            "rollout", "status", what, f"--timeout={timeout_s:.0f}s", timeout_s=timeout_s + 30
        )

    def peers(self) -> int:
        """As many as the StatefulSet is to have."""
        return int(self.kubectl("get", "statefulset", "qdrant", "-o", "jsonpath={.spec.replicas}"))

    def whole(self) -> None:
        """All pods are ready, each peer has its agent, and the doctor finds nothing."""
        peers = self.peers()
        until(lambda: self.pods(peers), f"{peers} pods of Qdrant are ready", 400)
        self.rolled_out("deployment/cleancut")
        until(lambda: len(self.status()["agents"]) == peers, f"{peers} agents")

        def nothing_wrong() -> bool:
            code, out, err = self.ask("doctor")
            if code:
                raise RuntimeError(f"doctor: {out}{err}")
            return True

        until(nothing_wrong, "the doctor finds nothing")

    def address(self, pod: str = "qdrant-0") -> str:
        return (
            "http://" + self.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}") + ":6333"
        )

    def secret(self, name: str, key: str) -> str:
        """One entry of a Secret."""
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data[key]).decode()

    def keep_secret(self, name: str, **contents: str) -> None:
        """A Secret with these entries is there."""
        metadata = {"name": name}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        self.kubectl("apply", "-f", "-", text=json.dumps(document | {"stringData": contents}))

    def api_key(self) -> str:
        return self.secret("qdrant-apikey", "api-key")

    def fill(self, name: str, shards: int = 3, copies: int = 1, points: int = 0) -> None:
        shape = (name, str(shards), str(copies), str(points or POINTS[name]))
        visit("fill", self.address(), self.api_key(), *shape)

    def count(self, name: str, pod: str = "qdrant-0") -> int:
        return int(visit("count", self.address(pod), self.api_key(), name))

    def drop(self, name: str) -> None:
        visit("drop", self.address(), self.api_key(), name)

    def data_is_whole(self) -> None:
        assert {name: self.count(name) for name in POINTS} == POINTS

    def leader(self) -> str:
        """The pod that leads."""
        return str(self.status()["leader"])

    def upgrade(self, values: dict[str, Any]) -> None:
        """The coordinators' release with other values, by the guide's own command."""
        self.desk.write("values.yaml", values)
        (line,) = guide.commands("Schedule backups and monitoring")
        self.desk.type(line)
        self.rolled_out("deployment/cleancut")

    @contextmanager
    def changed_values(self, **change: Any) -> Iterator[None]:
        """The coordinators' release with other values, for a while."""
        before = self.desk.read("values.yaml")
        self.upgrade({**before, **change})
        try:
            yield
        finally:
            self.upgrade(before)

    def upgrade_qdrant(self, values: dict[str, Any]) -> None:
        """Qdrant's release with other agent values."""
        self.desk.write("changed.yaml", values)
        self.desk.type(
            f"helm upgrade qdrant qdrant/qdrant --namespace {self.space} --reset-then-reuse-values"
            " -f changed.yaml"
        )


def _ready(pod: dict[str, Any]) -> bool:
    states = pod["status"].get("containerStatuses") or ()
    ready = bool(states) and all(one["ready"] for one in states)
    return ready and "deletionTimestamp" not in pod["metadata"]


def stand_in() -> bool:
    """True if the image of Qdrant is the repository's stand-in."""
    return (ARCHIVES / "qdrant.kind").read_text().strip() == "stand-in"


def chart() -> Path:
    """Qdrant's chart: QDRANT_CHART, or the one of these tests."""
    return Path(os.environ.get("QDRANT_CHART") or Path(__file__).with_name("qdrant"))


def qdrant_values(peers: int = 3) -> dict[str, Any]:
    """What somebody has who follows the pod security standard."""
    tag = image_of("qdrant").rpartition(":")[2].removesuffix("-unprivileged")
    profile = {"type": "RuntimeDefault"}
    pod = {"runAsNonRoot": True, "fsGroup": 3000, "seccompProfile": profile}
    values: dict[str, Any] = {
        "replicaCount": peers,
        "image": {"tag": tag, "useUnprivilegedImage": True},
        "apiKey": True,
        "persistence": {"size": "5Gi"},
        "snapshotPersistence": {"enabled": True, "size": "5Gi"},
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
        "podSecurityContext": pod,
        "containerSecurityContext": _RESTRICTED,
    }
    if stand_in():
        mount = {"name": "consensus", "mountPath": "/qdrant/consensus"}
        values |= {"additionalVolumes": [_consensus()], "additionalVolumeMounts": [mount]}
    return values


def _consensus() -> dict[str, Any]:
    return {"name": "consensus", "persistentVolumeClaim": {"claimName": "consensus"}}


def with_own_lists(agent: dict[str, Any]) -> dict[str, Any]:
    """Agent values, with the volume that the stand-in's own values have, as the guide asks."""
    if not stand_in():
        return agent
    return {**agent, "additionalVolumes": [*agent["additionalVolumes"], _consensus()]}


def coordinator_values() -> dict[str, Any]:
    """The guide's, with a registry, a store and an etcd of this cluster."""
    given = guide.values("Install the coordinators")
    tryout = {
        "enabled": True,
        "image": {"registry": "localhost", "repository": "etcd", "tag": "v3.5.1"},
    }
    peers = [f"http://qdrant-{number}.qdrant-headless:6333" for number in range(3)]
    return {
        **given,
        "global": {"imageRegistry": "localhost"},
        "qdrant": {**given["qdrant"], "urls": peers},
        "store": {**given["store"], "url": BUCKET},
        "etcd": {"tryout": tryout},
        "agent": {"restricted": True, "memory": MEMORY, "spillSize": SPILL},
    }


def create_namespace(space: str) -> None:
    """A restricted one, with what Qdrant's stand-in needs."""
    kubectl("create", "namespace", space)
    kubectl("label", "namespace", space, "pod-security.kubernetes.io/enforce=restricted")
    if stand_in():
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "consensus", "namespace": space},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        kubectl("apply", "-f", "-", text=json.dumps(claim))


def create_certificates(space: str, folder: Path) -> None:
    """The Secrets of the API and of a client, by a CA of ours."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    names = [f"cleancut.{space}.svc", f"cleancut.{space}.svc.cluster.local", "localhost"]
    sans = {"cleancut-api": names, "cleancut-client": ["client.example"]}
    for secret, sans_of_it in sans.items():
        certificate, key = authority.issue(secret, [x509.DNSName(one) for one in sans_of_it])
        files = {"ca.crt": authority.ca, "tls.crt": certificate, "tls.key": key}
        given = [f"--from-file={name}={path}" for name, path in files.items()]
        kubectl("-n", space, "create", "secret", "generic", secret, *given)


def create_store() -> None:
    """The S3 server serves, and has its bucket."""
    kubectl("apply", "-f", str(Path(__file__).with_name("store.yaml")))
    kubectl("-n", "store", "rollout", "status", "deploy/s3", "--timeout=240s", timeout_s=300)
    address = kubectl("-n", "store", "get", "service", "s3", "-o", "jsonpath={.spec.clusterIP}")
    until(lambda: visit("bucket", f"http://{address}:8333") is not None, "a bucket")


@contextmanager
def desk() -> Iterator[guide.Desk]:
    """The folder of the guide's commands."""
    with tempfile.TemporaryDirectory(prefix="cleancut-k8s-") as folder:
        yield guide.Desk(Path(folder), chart())


def timed(what: str, began: float, say: Callable[[str], None]) -> None:
    """One line of the clock that a run prints."""
    say(f"[{time.monotonic() - began:4.0f} s] {what}")
