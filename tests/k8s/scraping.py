"""A Prometheus beside the node's pods, with what the chart's monitoring objects say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from tests.k8s.cluster import kubectl, start, stop
from tests.k8s.configuration import RUN
from tests.k8s.world import World, visit

KINDS = {
    "ServiceMonitor": "servicemonitors",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
}
_FOLDER = RUN / "prometheus"
_ADDRESS = "127.0.0.1:39090"
_EVERY = {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s"}


def create_kinds() -> None:
    """As much of the Prometheus operator as lets its objects be created."""
    for kind, plural in KINDS.items():
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True}
        names = {"kind": kind, "plural": plural, "singular": kind.lower()}
        document = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": names,
                "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
            },
        }
        kubectl("apply", "-f", "-", text=json.dumps(document))


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The server, and the pods that it is to scrape."""

    pods: frozenset[str]

    def _get(self, path: str) -> Any:
        return json.loads(visit("get", f"http://{_ADDRESS}/api/v1/{path}"))["data"]

    def up(self) -> set[str]:
        """Pods whose metrics were read."""
        found = self._get("query?query=up==1")["result"]
        return {one["metric"]["pod"] for one in found}

    def alerts(self, name: str) -> list[dict[str, str]]:
        """Labels of the alerts of this name that fire."""
        found = [one for one in self._get("alerts")["alerts"] if one["state"] == "firing"]
        return [one["labels"] for one in found if one["labels"]["alertname"] == name]


@contextmanager
def scraped(world: World) -> Iterator[Prometheus]:
    """Scrapes what the monitors select, and evaluates the rules as they are in the cluster, which
    promtool finds sound."""
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / "rules.yaml").write_text(yaml.safe_dump(_object(world, "prometheusrule")))
    rules = str(_FOLDER / "rules.yaml")
    check = ("promtool", "check", "rules", "--lint=all", "--lint-fatal", rules)
    subprocess.run(check, check=True, timeout=60)
    targets = list(_targets(world))
    jobs = [{"job_name": "cleancut", "static_configs": targets}]
    document = {"global": _EVERY, "rule_files": [rules], "scrape_configs": jobs}
    (_FOLDER / "prometheus.yaml").write_text(yaml.safe_dump(document))
    own = f"--config.file={_FOLDER / 'prometheus.yaml'}"
    data = f"--storage.tsdb.path={_FOLDER / 'data'}"
    start("prometheus", "prometheus", own, data, f"--web.listen-address={_ADDRESS}")
    try:
        yield Prometheus(frozenset(one["labels"]["pod"] for one in targets))
    finally:
        stop("prometheus")


def _object(world: World, kind: str) -> Any:
    (found,) = json.loads(world.kubectl("get", kind, "-o", "json"))["items"]
    return found["spec"]


def _targets(world: World) -> Iterator[dict[str, Any]]:
    """The address of each port that a monitor selects, with labels as the operator gives them."""
    service_monitor, pod_monitor = _object(world, "servicemonitor"), _object(world, "podmonitor")
    found = world.kubectl("get", "service", "-l", _wanted(service_monitor), "-o", "json")
    (service,) = json.loads(found)["items"]
    own = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
    (endpoint,) = service_monitor["endpoints"]
    (pod_endpoint,) = pod_monitor["podMetricsEndpoints"]
    for labels, one in ((own, endpoint), (_wanted(pod_monitor), pod_endpoint)):
        for pod in json.loads(world.kubectl("get", "pods", "-l", labels, "-o", "json"))["items"]:
            if "deletionTimestamp" not in pod["metadata"]:
                yield _target(pod, one["port"], one["path"])


def _wanted(monitor: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in monitor["selector"]["matchLabels"].items())


def _target(pod: Any, port: str, path: str) -> dict[str, Any]:
    ports = [
        (container["name"], one["containerPort"])
        for container in pod["spec"]["containers"]
        for one in container.get("ports", ())
        if one.get("name") == port
    ]
    ((container, number),) = ports
    metadata = pod["metadata"]
    labels = {"namespace": metadata["namespace"], "pod": metadata["name"], "container": container}
    labels["__metrics_path__"] = path
    return {"targets": [f"{pod['status']['podIP']}:{number}"], "labels": labels}
