"""What a schema cannot see: whether the parts of a rendering fit each other.

Each check takes all objects of a rendering and gives what is wrong, in words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.chart.rendering import Object

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_PORT = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MONITORED = {
    "ServiceMonitor": {"selector", "endpoints", "namespaceSelector"},
    "PodMonitor": {"selector", "podMetricsEndpoints", "namespaceSelector"},
    "PrometheusRule": {"groups"},
}
_ENDPOINT = {"port", "path", "interval"}


def faults(found: Iterable[Object]) -> list[str]:
    """All that the checks below find."""
    every = list(found)
    checks = (name_faults, selector_faults, pod_faults, port_faults, monitor_faults, rule_faults)
    return [fault for check in checks for fault in check(every)]


def called(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def pods(found: Iterable[Object]) -> Iterator[tuple[Object, Object, Object]]:
    """Each pod: the object it is in, its metadata, its spec."""
    for one in found:
        if one["kind"] == "Pod":
            yield one, one["metadata"], one["spec"]
        elif "template" in one.get("spec", {}):
            template = one["spec"]["template"]
            yield one, template["metadata"], template["spec"]


def name_faults(found: list[Object]) -> Iterator[str]:
    """Names and labels that the API server would refuse, or that come twice."""
    counted = Counter((one["apiVersion"], called(one)) for one in found)
    yield from (
        f"{name} is there {count} times" for (_, name), count in counted.items() if count > 1
    )
    for one in found:
        if not _NAME.fullmatch(one["metadata"]["name"]):
            yield f"{called(one)} has no valid name"
        for labels in _labels_of(one):
            for key, value in labels.items():
                if not isinstance(value, str) or not _LABEL.fullmatch(value):
                    yield f"{called(one)}: label {key}={value!r}"


def _labels_of(one: Object) -> Iterator[Mapping[str, Any]]:
    yield one["metadata"].get("labels", {})
    yield from (metadata.get("labels", {}) for _, metadata, _ in pods([one]))


def selector_faults(found: list[Object]) -> Iterator[str]:
    """Selectors that select nothing, or not what they are for."""
    labels = [metadata.get("labels", {}) for _, metadata, _ in pods(found)]
    for one in found:
        spec = one.get("spec", {})
        match one["kind"]:
            case "Deployment" | "StatefulSet":
                wanted = spec["selector"]["matchLabels"]
                if not _selects(wanted, spec["template"]["metadata"]["labels"]):
                    yield f"{called(one)} does not select its own pods: {wanted}"
            case "Service":
                wanted = spec["selector"]
            case "PodDisruptionBudget" | "PodMonitor":
                wanted = spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                wanted = spec["podSelector"]["matchLabels"]
            case "ServiceMonitor":
                wanted = spec["selector"]["matchLabels"]
                services = [s["metadata"]["labels"] for s in found if s["kind"] == "Service"]
                if sum(_selects(wanted, each) for each in services) != 1:
                    yield f"{called(one)} does not select one Service: {wanted}"
            case _:
                continue
        if not any(_selects(wanted, each) for each in labels):
            yield f"{called(one)} selects no pod: {wanted}"


def _selects(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(wanted) and wanted.items() <= labels.items()


def pod_faults(found: list[Object]) -> Iterator[str]:
    """Volumes, mounts, environment, files, and what a restricted namespace asks of pods."""
    maps = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    for one, _, spec in pods(found):
        claims = one["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        known = {*volumes, *(claim["metadata"]["name"] for claim in claims)}
        used = set()
        if len(volumes) != len(spec.get("volumes", [])):
            yield f"{called(one)} has volumes of one name"
        for name, volume in volumes.items():
            if len(volume) != 2:
                yield f"{called(one)}: volume {name} is of {len(volume) - 1} kinds"
        for container in spec["containers"]:
            where = f"{called(one)} {container['name']}"
            mounts = container.get("volumeMounts", [])
            used |= {mount["name"] for mount in mounts}
            for mount in mounts:
                if mount["name"] not in known:
                    yield f"{where} mounts {mount['name']}, which is no volume"
            for path in _twice(mount["mountPath"] for mount in mounts):
                yield f"{where} mounts two volumes at {path}"
            for name in _twice(env["name"] for env in container.get("env", [])):
                yield f"{where} has {name} twice in its environment"
            yield from _file_faults(where, container, volumes, maps)
        yield from (f"{called(one)}: nobody mounts {name}" for name in sorted(known - used))


def _twice(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _file_faults(
    where: str, container: Object, volumes: Mapping[str, Object], maps: Mapping[str, Object]
) -> Iterator[str]:
    """Paths in arguments and environment that no volume holds; keys that a ConfigMap lacks."""
    words = [*container.get("args", []), *(e.get("value", "") for e in container.get("env", []))]
    mounts = container.get("volumeMounts", [])
    for path in re.findall(r"/etc/cleancut/[^\s\"']+", "\n".join(words)):
        folder, _, key = path.rpartition("/")
        mount = next((one for one in mounts if one["mountPath"] == folder), None)
        volume = volumes.get(mount["name"], {}) if mount else {}
        if "secret" not in volume and "configMap" not in volume:
            yield f"{where} reads {path}, where no secret and no settings are mounted"
        name = volume.get("configMap", {}).get("name")
        if name is not None and key not in maps.get(name, {}):
            yield f"{where} reads {path}, but ConfigMap {name} has no {key}"


def port_faults(found: list[Object]) -> Iterator[str]:
    """Ports that a probe, a Service or a policy names and no container has."""
    for one, _, spec in pods(found):
        yield from (f"{called(one)}: {text}" for text in _container_port_faults(spec))
    for one in found:
        if one["kind"] == "Service":
            names = _ports_of(found, one["spec"]["selector"])
            wanted = [port["targetPort"] for port in one["spec"]["ports"]]
        elif one["kind"] == "NetworkPolicy":
            names = _ports_of(found, one["spec"]["podSelector"]["matchLabels"])
            every = [port for rule in one["spec"]["ingress"] for port in rule.get("ports", [])]
            wanted = [port["port"] for port in every if isinstance(port["port"], str)]
        else:
            continue
        yield from (
            f"{called(one)}: no pod has the port {port!r}" for port in wanted if port not in names
        )


def _container_port_faults(spec: Object) -> Iterator[str]:
    numbers: list[str] = []
    for container in spec["containers"]:
        ports = container.get("ports", [])
        names = [port["name"] for port in ports]
        numbers += [str(port["containerPort"]) for port in ports]
        yield from (f"{name!r} is no name of a port" for name in names if not _PORT.fullmatch(name))
        for probe in (p for p in _PROBES if p in container):
            asked = container[probe].get("httpGet", container[probe].get("tcpSocket", {}))
            if asked.get("port") not in names:
                yield f"{container['name']}: {probe} asks at {asked.get('port')!r}"
    yield from (f"two containers listen on {number}" for number in _twice(numbers))


def _ports_of(found: list[Object], selector: Mapping[str, str]) -> set[str]:
    return {
        port["name"]
        for _, metadata, spec in pods(found)
        if _selects(selector, metadata.get("labels", {}))
        for container in spec["containers"]
        for port in container.get("ports", [])
    }


def monitor_faults(found: list[Object]) -> Iterator[str]:
    """What Prometheus' operator would not know, or not find."""
    services = [one for one in found if one["kind"] == "Service"]
    for one in found:
        if (known := _MONITORED.get(one["kind"])) is None:
            continue
        spec = one["spec"]
        if unknown := set(spec) - known:
            yield f"{called(one)} has unknown fields {sorted(unknown)}"
        wanted = spec.get("selector", {}).get("matchLabels", {})
        ports = {
            port["name"]
            for service in services
            if _selects(wanted, service["metadata"]["labels"])
            for port in service["spec"]["ports"]
        }
        if one["kind"] == "PodMonitor":
            ports = _ports_of(found, wanted)
        for endpoint in spec.get("endpoints", spec.get("podMetricsEndpoints", [])):
            if unknown := set(endpoint) - _ENDPOINT:
                yield f"{called(one)} has unknown fields {sorted(unknown)}"
            if endpoint["port"] not in ports:
                yield f"{called(one)}: nobody has the port {endpoint['port']!r}"


def rule_faults(found: list[Object]) -> Iterator[str]:
    """Pods of ours that a restricted namespace refuses, or that have no bounds."""
    for one, _, spec in pods(found):
        pod = spec.get("securityContext", {})
        for container in spec["containers"]:
            if container["name"] == "qdrant":
                continue
            where = f"{called(one)} {container['name']}"
            own = {**pod, **container.get("securityContext", {})}
            if not (own.get("runAsNonRoot") and own.get("runAsUser")):
                yield f"{where} may run as root"
            if own.get("allowPrivilegeEscalation", True) or not own.get("readOnlyRootFilesystem"):
                yield f"{where} may gain privileges or write its root"
            if own.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{where} keeps capabilities"
            if own.get("seccompProfile", {}).get("type") != "RuntimeDefault":
                yield f"{where} has no seccomp profile"
            resources = container.get("resources", {})
            if "memory" not in resources.get("limits", {}) or "requests" not in resources:
                yield f"{where} is not bounded"
            if re.search(r":latest$|^[^:@]+$", container["image"]):
                yield f"{where} runs whatever image is newest"
