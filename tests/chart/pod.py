"""A rendered container as a process of this machine: its command, arguments, environment, files and
ports are exactly the rendered ones; what it mounts lies in a folder, and paths are put there.

One network for all, so names of services are given by their tests. The root is not read-only here;
`make images` proves that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import aiohttp

from cleancut_devcluster.launch.process import Child, start_child
from tests.chart.rendering import ROOT, Object

ITS_OWN = {"metadata.name": "qdrant-0", "status.podIP": "127.0.0.1"}
"""What the downward API tells a pod."""
ASK_S = 5.0
_START_AGAIN = (
    "import subprocess, sys, click; subprocess.run([sys.executable, '-c', ''], check=True)"
)


class Pod:
    """One pod of an object's template. Secrets may be given later, as kubelet brings them."""

    def __init__(self, one: Object, maps: Mapping[str, Mapping[str, str]], folder: Path) -> None:
        self.spec = one["spec"]["template"]["spec"] if "template" in one["spec"] else one["spec"]
        self._folder = folder
        group = self.spec.get("securityContext", {}).get("fsGroup", os.getgid())
        claims = one["spec"].get("volumeClaimTemplates", [])
        for volume in (*self.spec["volumes"], *(claim["metadata"] for claim in claims)):
            where = folder / volume["name"]
            where.mkdir(parents=True)
            if os.getuid() == 0:
                os.chown(where, 0, group)
            where.chmod(0o2775)
            for key, text in maps.get(volume.get("configMap", {}).get("name", ""), {}).items():
                (where / key).write_text(text)

    def container(self, name: str) -> Object:
        found: Object = next(one for one in self.spec["containers"] if one["name"] == name)
        return found

    def give_secrets(self, secrets: Mapping[str, Mapping[str, bytes]]) -> None:
        """All keys of every secret that it mounts. Raises: KeyError, for one that is not given."""
        for volume in self.spec["volumes"]:
            if "secret" in volume:
                for key, content in secrets[volume["secret"]["secretName"]].items():
                    (self._folder / volume["name"] / key).write_bytes(content)

    async def start(self, name: str) -> Child:
        """The container's process. Its output goes to `<name>.log` in the folder."""
        container = self.container(name)
        argv = [*self._as_user(container), *self.command(container)]
        return await start_child(name, argv, self._folder / f"{name}.log", self.env(container))

    def command(self, container: Object) -> list[str]:
        """What the image starts, or the container's own command, with its arguments."""
        first, *rest = container.get("command") or [entrypoint(container["image"])]
        program = [sys.executable] if first == "python" else [sys.executable, "-m", module(first)]
        env = self.env(container)
        filled = [_filled(word, env) for word in (*rest, *container.get("args", []))]
        return [*program, *(self._moved(container, word) for word in filled)]

    def env(self, container: Object) -> dict[str, str]:
        path = ":".join(str(ROOT / folder) for folder in ("", "agent", "coordinator"))
        env = {"PYTHONPATH": path, "HOME": "/tmp", "TMPDIR": self._moved(container, "/tmp")}
        for entry in container.get("env", []):
            if "valueFrom" in entry:
                env[entry["name"]] = ITS_OWN[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            else:
                env[entry["name"]] = self._moved(container, entry["value"])
        return env

    def _moved(self, container: Object, text: str) -> str:
        """`text` with every mounted path where it lies here."""
        folders = {
            one["mountPath"]: self._folder / one["name"] for one in container["volumeMounts"]
        }
        paths = "|".join(re.escape(path) for path in sorted(folders, key=len, reverse=True))
        path = re.compile(rf"(?<![\w/.-])({paths})(?![\w-])")
        return path.sub(lambda found: str(folders[found[1]]), text)

    def _as_user(self, container: Object) -> list[str]:
        """The rendered user and groups, if we may become them."""
        pod = self.spec.get("securityContext", {})
        ids = {**pod, **container.get("securityContext", {})}
        return as_user(ids["runAsUser"], ids["runAsGroup"], pod.get("fsGroup", ids["runAsGroup"]))


def as_user(user: int, group: int, further: int) -> list[str]:
    """What makes a command that user's, if we may become it."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return []
    prefix = ["setpriv", f"--reuid={user}", f"--regid={group}"]
    prefix += [f"--groups={further}", "--no-new-privs"]
    return [*prefix, *_to_reach_python(tuple(prefix))]


@cache
def _to_reach_python(prefix: tuple[str, ...]) -> tuple[str, ...]:
    """Nothing; where the interpreter is in somebody's home, the right to read that is left.

    `setpriv` itself could still enter that home, so what is asked is a start from within.
    """
    probe = [*prefix, sys.executable, "-c", _START_AGAIN]
    if subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode == 0:
        return ()
    return "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"


def _filled(word: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` as kubelet fills it in."""
    return re.sub(r"\$\((\w+)\)", lambda found: env.get(found[1], found[0]), word)


def entrypoint(image: str) -> str:
    """What the image's Dockerfile starts."""
    name = re.split(r"[:@]", image.rpartition("/")[2])[0].removeprefix("cleancut-")
    lines = (ROOT / f"Dockerfile.{name}").read_text().splitlines()
    (entry,) = (line.removeprefix("ENTRYPOINT ") for line in lines if line.startswith("ENTRYPOINT"))
    (program,) = json.loads(entry)
    return str(program)


def module(program: str) -> str:
    """The module that an installed program is."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return str(scripts[program]).partition(":")[0]


def port_of(container: Object, name: str) -> int:
    """The number of a container's port."""
    (number,) = (one["containerPort"] for one in container["ports"] if one["name"] == name)
    return int(number)


async def fetch(container: Object, port: str, path: str) -> tuple[int, str]:
    """Status and body at a named port; 0 if nobody answers."""
    url = f"http://127.0.0.1:{port_of(container, port)}{path}"
    try:
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


async def probe(container: Object, name: str) -> int:
    """The status that kubelet would see."""
    asked = container[name]["httpGet"]
    return (await fetch(container, asked["port"], asked["path"]))[0]
