"""Writes what the chart and the package take from each other, into FOLDER (default: the project's
root): the table of values, the agent's values, the kustomize component; rules and dashboard."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cleancut import __version__
from cleancut.cli.commands.agent import (
    NOTHING,
    PLAIN_URL,
    TEMPLATE,
    as_patch,
    derived_sizes,
    fill,
)

ROOT = Path(__file__).resolve().parents[1]
VALUES = "charts/cleancut/values.yaml"
README = "charts/cleancut/README.md"
AGENT_VALUES = "charts/cleancut/files/agent-values.yaml"
COMPONENT = "charts/kustomize/agent/statefulset.yaml"
MONITORING = ("alerts.yaml", "dashboard.json", "inhibit.yaml")
FILES, PACKAGED = "charts/cleancut/files", "cleancut/cli/commands"
_HEAD = """# cleancut's Helm chart

Two coordinators, and values that put an agent next to each peer of the official Qdrant chart.
[The Kubernetes tutorial](../../docs/tutorials/kubernetes.md) installs it, step by step; `ci/` holds
values for several uses. The try-out needs both images, a ReadWriteMany claim `cleancut-store` and a
Qdrant at `http://qdrant:6333`:

    helm install cleancut charts/cleancut -f charts/cleancut/ci/tryout-values.yaml

Secrets are named, never given: each has to exist. Those with certificates have the keys `ca.crt`,
`tls.crt` and `tls.key`, as cert-manager writes them. Written by `make docs` from values.yaml.

| value | default | is |
|---|---|---|
"""
_KEY = re.compile(r"( *)([A-Za-z]\w*):")


def readme() -> str:
    """The chart's page."""
    text = (ROOT / VALUES).read_text(encoding="utf-8")
    rows = [
        f"| `{path}` | {_shown(default)} | {told} |" for path, default, told in documented(text)
    ]
    return _HEAD + "\n".join(rows) + "\n"


def documented(text: str) -> Iterator[tuple[str, Any, str]]:
    """Each value with a comment that begins with two dashes: its path, default and comment."""
    whole = yaml.safe_load(text)
    parents: list[tuple[int, str]] = []
    told = ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            told = bare.removeprefix("# -- ")
        elif bare.startswith("#"):
            told += f" {bare[1:].strip()}" if told else ""
        elif found := _KEY.match(line):
            depth = len(found[1])
            parents = [one for one in parents if one[0] < depth] + [(depth, found[2])]
            if told:
                names = [name for _, name in parents]
                yield ".".join(names), _at(whole, names), told
            told = ""


def _at(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`"


def component() -> str:
    """The patch of charts/kustomize/agent; what differs from site to site is in a ConfigMap."""
    from_map = {word: f"$(CLEANCUT_{word.upper()})" for word in ("cluster", "etcd", "store")}
    words = {
        **NOTHING,
        **from_map,
        "qdrant_url": PLAIN_URL,
        "image": f"cleancut-agent:{__version__}",
        "storage_volume": "qdrant-storage",
        "http_port": 7401,
        "spill_size": "8Gi",
        "memory": "1Gi",
        **derived_sizes("8Gi", "1Gi"),
    }
    patch = yaml.safe_load(as_patch(fill(TEMPLATE.read_text(encoding="utf-8"), words)))
    (agent,) = patch["spec"]["template"]["spec"]["containers"]
    agent["envFrom"] = [{"configMapRef": {"name": "cleancut-agent", "optional": True}}]
    head = (
        "# Written by `make docs` from cleancut/cli/commands/agent_values.yaml; change it there.\n"
    )
    return head + yaml.safe_dump(patch, sort_keys=False, width=1000)


def write(folder: Path) -> None:
    """All of it, under `folder`."""
    for path in (README, AGENT_VALUES, COMPONENT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / README).write_text(readme(), encoding="utf-8")
    (folder / COMPONENT).write_text(component(), encoding="utf-8")
    shutil.copy(TEMPLATE, folder / AGENT_VALUES)
    (folder / PACKAGED).mkdir(parents=True, exist_ok=True)
    for name in MONITORING:
        shutil.copy(ROOT / FILES / name, folder / PACKAGED / name)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
