"""A Kubernetes of one node on this machine, in a network namespace and control groups of its own.

Usage: python -m tests.k8s.cluster up|down. Requires root, and what tools/kube/build.sh made.
Nothing leads out of the namespace: the node, its pods and the API server only reach each other.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cleancut_devcluster.launch.etcd import etcd_binary
from tests.k8s.configuration import (
    ADDRESS,
    CGROUP,
    NETNS,
    NODE,
    RUN,
    SOCKET,
    STATE,
    SUPERUSER,
    VOLUMES,
    kubeconfig,
    write_configuration,
)

BIN = RUN.parent / "bin"
START_S = 180.0
"""For one part of the cluster to start, on a busy machine."""
STOP_S = 15.0


def inside(*command: str | Path) -> list[str]:
    """A command in the node's network."""
    return ["nsenter", f"--net=/run/netns/{NETNS}", *map(str, command)]


def kubectl(*arguments: str, text: str | None = None, timeout_s: float = 120.0) -> str:
    """What it printed. Raises: RuntimeError with what it said."""
    tool = str(Path(sys.executable).with_name("kubectl"))
    return call(tool, f"--kubeconfig={SUPERUSER}", *arguments, text=text, timeout_s=timeout_s)


def call(*command: str | Path, text: str | None = None, timeout_s: float = 120.0) -> str:
    """What a command in the node's network printed. Raises: RuntimeError with what it said."""
    done = subprocess.run(
        inside(*command), input=text, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {said}")
    return done.stdout


def until(check: Callable[[], object], what: str, timeout_s: float = START_S) -> None:
    """Returns once `check` is true; an error that it raises is one more reason to wait."""
    end = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < end:
        try:
            if check():
                return
        except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError) as error:
            last = error
        time.sleep(0.25)
    raise TimeoutError(f"{what}: not within {timeout_s:.0f} s; last: {last}")


def up() -> None:
    """The node is ready, and volumes can be claimed. What was there before is gone."""
    down()
    write_configuration()
    _network()
    _control_groups()
    _control_plane()
    _node()
    _volumes()


def down() -> None:
    """Processes, containers, mounts, namespaces, control groups and files of it are gone."""
    containers = _containers()
    for pid_file in (RUN / "pid").glob("*"):
        if pid_file.name != "containerd":
            stop(pid_file.name)
    _kill(*_contained())
    _end_tasks()
    stop("containerd")
    _kill(*_contained(), *_in_network())
    _unmount()
    for network in [*containers.values(), NETNS]:
        subprocess.run(("ip", "netns", "del", network), check=False, capture_output=True)
    for top in _controllers():
        _remove_groups(top / CGROUP)
    states = [Path("/run/containerd/runc/k8s.io") / name for name in containers]
    for folder in (RUN, STATE, *states):
        shutil.rmtree(folder, ignore_errors=True)


def networks() -> set[str]:
    """Names of all network namespaces of this machine."""
    return {line.split()[0] for line in _output("ip", "netns", "list").splitlines()}


def left() -> list[str]:
    """What is still there of a cluster that was taken down; nothing, if all is well."""
    found = [f"process {pid}" for pid in [*_contained(), *_in_network()]]
    found += [f"mount {mount}" for mount in _mounts()]
    found += [f"namespace {NETNS}"] if NETNS in networks() else []
    found += [f"group {top}" for top in _controllers() if (top / CGROUP).exists()]
    return found + [str(folder) for folder in (RUN, STATE) if folder.exists()]


def start(name: str, *command: str | Path) -> None:
    """A process in the node's network, with a pid file and a log; it outlives this one."""
    for folder in ("pid", "log"):
        (RUN / folder).mkdir(exist_ok=True)
    shell = 'log=$1; shift; "$@" < /dev/null >> "$log" 2>&1 & echo $!'
    log = str(RUN / "log" / f"{name}.log")
    begun = subprocess.run(
        ("setsid", "sh", "-c", shell, "sh", log, *inside(*command)),
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    pid = int(begun.stdout)
    (RUN / "pid" / name).write_text(f"{pid} {_born(pid)}")


def stop(name: str) -> None:
    """The process of a pid file is gone."""
    pid_file = RUN / "pid" / name
    if not pid_file.exists():
        return
    number, _, born = pid_file.read_text().partition(" ")
    if born and _born(int(number)) == born:
        _kill(int(number))
    pid_file.unlink()


def _network() -> None:
    for arguments in (
        ("netns", "add", NETNS),
        ("-n", NETNS, "link", "set", "lo", "up"),
        ("-n", NETNS, "link", "add", "node0", "type", "bridge"),
        ("-n", NETNS, "address", "add", f"{ADDRESS}/24", "dev", "node0"),
        ("-n", NETNS, "link", "set", "node0", "up"),
        ("-n", NETNS, "route", "add", "default", "dev", "node0"),
    ):
        subprocess.run(("ip", *arguments), check=True, timeout=20)
    forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    bridged = "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables || true"
    call("sh", "-c", f"{forward}; {bridged}")


def _controllers() -> list[Path]:
    """Where groups are made: a folder for each hierarchy of version 1, and that of version 2."""
    mounted = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(parts[1]) for parts in mounted if parts[2] in {"cgroup", "cgroup2"}]


def _control_groups() -> None:
    for top in _controllers():
        (top / CGROUP).mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            given = top / name
            if given.exists():
                (top / CGROUP / name).write_text(given.read_text())


def _control_plane() -> None:
    client, peer = "http://127.0.0.1:32379", "http://127.0.0.1:32380"
    start(
        "etcd",
        *(etcd_binary(), f"--data-dir={RUN / 'etcd'}", "--log-level=warn", "--unsafe-no-fsync"),
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
        f"--initial-cluster=default={peer}",
    )
    keys = RUN / "keys"
    start(
        "kube-apiserver",
        *(BIN / "kube-apiserver", f"--etcd-servers={client}", "--allow-privileged=true"),
        *(f"--bind-address={ADDRESS}", f"--advertise-address={ADDRESS}", "--secure-port=6443"),
        f"--tls-cert-file={keys / 'kube-apiserver.pem'}",
        f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
        f"--token-auth-file={keys / 'tokens.csv'}",
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys / 'accounts.pem'}",
        f"--service-account-signing-key-file={keys / 'accounts.key'}",
        "--kubelet-preferred-address-types=InternalIP",
    )
    until(lambda: kubectl("get", "--raw", "/readyz") == "ok", "the API server is ready")
    start(
        "kube-controller-manager",
        *(BIN / "kube-controller-manager", f"--kubeconfig={kubeconfig('controller-manager')}"),
        *("--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials"),
        f"--root-ca-file={keys / 'ca.pem'}",
        f"--service-account-private-key-file={keys / 'accounts.key'}",
    )
    start(
        "kube-scheduler",
        *(BIN / "kube-scheduler", f"--kubeconfig={kubeconfig('scheduler')}"),
        *("--bind-address=127.0.0.1", "--leader-elect=false"),
    )
    start("coredns", BIN / "coredns", "-conf", RUN / "Corefile")


def _node() -> None:
    start("containerd", "containerd", "--config", RUN / "containerd.toml")
    until(lambda: ctr("version"), "containerd answers")
    start("kube-proxy", BIN / "kube-proxy", "--config", RUN / "proxy.yaml")
    start(
        "kubelet",
        *(BIN / "kubelet", "--config", RUN / "kubelet.yaml", "--kubeconfig", kubeconfig("kubelet")),
        *("--root-dir", RUN / "kubelet", "--cert-dir", RUN / "kubelet-keys"),
        *("--hostname-override", NODE, "--node-ip", ADDRESS),
    )
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    until(lambda: kubectl("get", "node", NODE, "-o", ready) == "True", "the node is ready")


def _volumes() -> None:
    """One directory each, bound to the node, of the class that claims take by default."""
    for number in range(VOLUMES):
        (RUN / "volumes" / f"v{number}").mkdir(parents=True)
    kubectl("apply", "-f", str(RUN / "volumes.json"))


def ctr(*arguments: str, timeout_s: float = 300.0) -> str:
    """What containerd's own client printed."""
    return call("ctr", "-a", SOCKET, "-n", "k8s.io", *arguments, timeout_s=timeout_s)


def _containers() -> dict[str, str]:
    """Each container that has a task, and the network namespace that it is in."""
    found = {}
    for bundle in (STATE / "containerd").glob("io.containerd.runtime.v2.task/k8s.io/*/config.json"):
        with suppress(OSError, ValueError):
            spaces = json.loads(bundle.read_text())["linux"]["namespaces"]
            paths = [one.get("path", "") for one in spaces if one["type"] == "network"]
            found[bundle.parent.name] = Path(paths[0] if paths else "").name
    return found


def _end_tasks() -> None:
    """Shims end with the tasks that they hold; those that do not are killed with the namespace."""
    if (RUN / "pid" / "containerd").exists():
        with suppress(RuntimeError, OSError, subprocess.TimeoutExpired):
            for name in ctr("tasks", "ls", "-q", timeout_s=20).split():
                with suppress(RuntimeError):
                    ctr("tasks", "rm", "-f", name, timeout_s=20)


def _born(pid: int) -> str:
    """When it started: a number that comes back is another process. Empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _runs(pid: int) -> bool:
    """False once it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(*pids: int) -> None:
    """They are gone: they do not get a choice."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + STOP_S
    while any(map(_runs, pids)) and time.monotonic() < end:
        time.sleep(0.05)


def _contained() -> list[int]:
    """Processes in our control groups: those of pods."""
    found: set[int] = set()
    for top in _controllers():
        for listing in (top / CGROUP).rglob("cgroup.procs"):
            try:
                found |= {int(line) for line in listing.read_text().split()}
            except OSError:
                continue
    return sorted(found)


def _in_network() -> list[int]:
    """Processes in the node's network namespace: servers, and the shims of containers."""
    done = subprocess.run(
        ("ip", "netns", "pids", NETNS), capture_output=True, text=True, timeout=20, check=False
    )
    return [int(line) for line in done.stdout.split()]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def _mounts() -> list[str]:
    """Deepest first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split()[1] for line in lines]
    return sorted((p for p in places if p.startswith((f"{RUN}/", f"{STATE}/"))), reverse=True)


def _unmount() -> None:
    for place in _mounts():
        subprocess.run(("umount", "-l", place), timeout=20, check=False, capture_output=True)


def _remove_groups(top: Path) -> None:
    folders = sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True)
    for folder in [*folders, top]:
        if folder.exists():
            try:
                folder.rmdir()
            except OSError as error:
                sys.stderr.write(f"k8s: {folder}: {error}" + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["up"]:
        up()
        sys.stdout.write(f"KUBECONFIG={SUPERUSER} {' '.join(inside('kubectl', 'get', 'pods'))}\n")
    elif sys.argv[1:] == ["down"]:
        down()
        sys.exit("\n".join(left()) or 0)
    else:
        sys.exit(__doc__)
