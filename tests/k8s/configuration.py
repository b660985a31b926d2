"""The files that the parts of the cluster are started with, and the names that they agree on."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.support.certificates import Authority

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "build" / "kube" / "run"
STATE = Path("/run/cleancut-k8s")
SOCKET = STATE / "containerd.sock"
NETNS = CGROUP = "cleancut-k8s"
NODE = "node"
ADDRESS = "10.99.0.1"
"""Of the node, the API server and DNS, in the namespace only."""
API = f"https://{ADDRESS}:6443"
SUPERUSER = RUN / "keys" / "admin.json"
VOLUMES = 32
PAUSE = "localhost/pause:1"
_USERS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", "system:node-proxier"),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""File of the kubeconfig: user and group."""


def kubeconfig(name: str) -> Path:
    return RUN / "keys" / f"{name}.json"


def write_configuration() -> None:
    """All files are in RUN, with keys made for this run alone."""
    for folder in (RUN / "keys", RUN / "cni", RUN / "static", STATE):
        folder.mkdir(parents=True)
    _write_keys()
    (RUN / "cni" / "10-bridge.conflist").write_text(json.dumps(_pod_network()))
    (RUN / "containerd.toml").write_text(_containerd())
    (RUN / "kubelet.yaml").write_text(json.dumps(_kubelet()))
    (RUN / "proxy.yaml").write_text(json.dumps(_proxy()))
    (RUN / "resolv.conf").write_text("")
    (RUN / "Corefile").write_text(
        f".:53 {{\n bind {ADDRESS}\n ready 127.0.0.1:8181\n errors\n"
        f" kubernetes cluster.local {{\n  kubeconfig {SUPERUSER}\n  ttl 5\n }}\n}}\n"
    )
    listed = {"apiVersion": "v1", "kind": "List", "items": list(_volumes())}
    (RUN / "volumes.json").write_text(json.dumps(listed))


def _write_keys() -> None:
    keys = RUN / "keys"
    authority = Authority(keys)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in (ADDRESS, "10.96.0.1")]
    authority.issue("kube-apiserver", [*map(x509.DNSName, names), *addresses])
    authority.issue("accounts")
    lines = []
    for name, (user, group) in _USERS.items():
        token = secrets.token_hex(16)
        lines.append(f'{token},{user},{name},"{group}"\n')
        kubeconfig(name).write_text(json.dumps(_kubeconfig(token)))
    (keys / "tokens.csv").write_text("".join(lines))
    for path in keys.iterdir():
        path.chmod(0o600)


def _kubeconfig(token: str) -> dict[str, Any]:
    server = {"server": API, "certificate-authority": str(RUN / "keys" / "ca.pem")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NETNS, "cluster": server}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": NETNS, "context": {"cluster": NETNS, "user": "user"}}],
        "current-context": NETNS,
    }


def _pod_network() -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "dataDir": str(RUN / "addresses"),
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "hairpinMode": True}
    plugins = [{**bridge, "ipMasq": False, "ipam": addresses}]
    return {"cniVersion": "1.0.0", "name": NETNS, "plugins": plugins}


def _containerd() -> str:
    return f"""version = 2
root = "{RUN / "containerd"}"
state = "{STATE / "containerd"}"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{RUN / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{RUN / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""


def _kubelet() -> dict[str, Any]:
    """Whoever reaches the kubelet may use it: only the API server and pods of tests do."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(RUN / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "podLogsDir": str(RUN / "pods"),
        "staticPodPath": str(RUN / "static"),
        "healthzBindAddress": "127.0.0.1",
        # The machine's disk is not ours to keep free.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "enforceNodeAllocatable": ["pods"],
        "volumeStatsAggPeriod": "10s",
        "syncFrequency": "10s",
    }


def _proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig("proxy"))},
        "mode": "iptables",
        "hostnameOverride": NODE,
        "bindAddress": ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _volumes() -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "local",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    for number in range(VOLUMES):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"v{number}"},
            "spec": {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "storageClassName": "local",
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(RUN / "volumes" / f"v{number}")},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
