"""Users of a real etcd, made by the very commands of docs/how-to/security.md."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from tests.support.etcd_cluster import etcd_binary
from tests.tidy.tree import text_of

ROOT_PASSWORD = "not-for-cleancut"
DOCUMENTED_PREFIX = "/cleancut/prod/"


@dataclass(frozen=True)
class EtcdUsers:
    """An etcd without TLS at `endpoint`. `as_root`: once it asks who somebody is."""

    endpoint: str
    as_root: bool = False

    def etcdctl(self, *arguments: str, stdin: str = "") -> None:
        command = [str(etcd_binary().with_name("etcdctl")), f"--endpoints={self.endpoint}"]
        if self.as_root:
            command += ["--user", f"root:{ROOT_PASSWORD}"]
        subprocess.run(
            [*command, *arguments],
            input=stdin,
            text=True,
            check=True,
            capture_output=True,
            timeout=20,
        )

    def add(self, name: str, password: str) -> None:
        self.etcdctl("user", "add", name, "--interactive=false", stdin=f"{password}\n")

    def set_password(self, name: str, password: str) -> None:
        self.etcdctl("user", "passwd", name, "--interactive=false", stdin=f"{password}\n")

    def enable(self, passwords: dict[str, str], prefix: str = DOCUMENTED_PREFIX) -> None:
        """From now on etcd asks who somebody is, and knows root and the documented users."""
        for line in text_of("docs/how-to/security.md").splitlines():
            words = line.split()
            if not line.startswith("    etcdctl "):
                continue
            if words[1:3] == ["user", "add"]:
                self.add(words[3], passwords[words[3]])
            else:
                self.etcdctl(*(word.replace(DOCUMENTED_PREFIX, prefix) for word in words[1:]))
        self.add("root", ROOT_PASSWORD)
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("auth", "enable")
