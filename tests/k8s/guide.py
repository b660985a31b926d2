"""The tutorial's own words: its YAML blocks and its commands, run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.cluster import call
from tests.k8s.configuration import ROOT, SUPERUSER

PAGE = ROOT / "docs" / "tutorials" / "kubernetes.md"
AUTOMATION = ROOT / "docs" / "how-to" / "automation.md"
OPERATE = ROOT / "docs" / "how-to" / "kubernetes.md"


def section(title: str, page: Path = PAGE) -> str:
    """The text below the heading that ends with `title`. Raises: LookupError."""
    parts = re.split(r"^## (.*)$", page.read_text(), flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if heading.endswith(title):
            return text
    raise LookupError(f"{page.name} has no section {title!r}")


def commands(title: str, page: Path = PAGE) -> list[str]:
    """The lines of shell in a section."""
    text = re.sub(r"```.*?```", "", section(title, page), flags=re.DOTALL)
    lines = text.splitlines()
    return [line.strip() for line in lines if line.startswith("    ") and line.strip()]


def outputs(title: str, page: Path = PAGE) -> list[str]:
    """What a section says that its commands print, in order."""
    return re.findall(r"```text\n(.*?)```", section(title, page), re.DOTALL)


def values(title: str, page: Path = PAGE) -> dict[str, Any]:
    """The first YAML block of a section."""
    found = re.search(r"```yaml\n(.*?)```", section(title, page), re.DOTALL)
    assert found is not None, title
    return dict(yaml.safe_load(found[1]))


class Desk:
    """A folder from which the guide's commands work: charts, values, credentials, tools."""

    def __init__(self, folder: Path, chart: Path) -> None:
        self.folder = folder
        tools = folder / "bin"
        for place in (tools, folder / "charts", folder / "qdrant", folder / ".aws"):
            place.mkdir(parents=True)
        beside = Path(sys.executable).parent
        for name, tool in {"helm": "helm3", "helm4": "helm4", "kubectl": "kubectl"}.items():
            (tools / name).symlink_to(beside / tool)
        (folder / "charts" / "cleancut").symlink_to(ROOT / "charts" / "cleancut")
        (folder / "qdrant" / "qdrant").symlink_to(chart)
        self.chart_version = str(yaml.safe_load((chart / "Chart.yaml").read_text())["version"])
        self._env = [
            f"PATH={tools}:{os.environ['PATH']}",
            f"KUBECONFIG={SUPERUSER}",
            f"HOME={folder}",
        ]

    def type(self, line: str, timeout_s: float = 300.0) -> str:
        """What a line of the guide printed. Raises: RuntimeError with what it said."""
        line = re.sub(r"\bVERSION\b", self.chart_version, line)
        shell = ["sh", "-ec", f"cd {self.folder} && {line}"]
        return call("env", *self._env, *shell, timeout_s=timeout_s)

    def write(self, name: str, document: dict[str, Any]) -> None:
        """A values file."""
        (self.folder / name).write_text(yaml.safe_dump(document, sort_keys=False))

    def read(self, name: str) -> dict[str, Any]:
        return dict(yaml.safe_load((self.folder / name).read_text()))

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
