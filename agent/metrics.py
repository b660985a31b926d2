"""Every metric of an agent is named here, and only here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from cleancut import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry a process."""

    def __init__(self, cluster: str, agent: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"cluster": cluster, "agent": agent}

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, list(labels), registry=self.registry).labels(**labels)

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, list(labels), registry=self.registry).labels(**labels)

        info = Gauge(
            "cleancut_build_info", "Version.", ["version", "component"], registry=self.registry
        )
        info.labels(version=__version__, component="agent").set(1)
        self.session_open = gauge("cleancut_agent_session_open", "1 while registered in etcd.")
        self.disk_free_bytes = gauge("cleancut_agent_disk_free_bytes", "Free in the spill dir.")
        self.moved_bytes = counter("cleancut_agent_moved_bytes_total", "Shard tar bytes moved.")
        self.fences_lifted = counter(
            "cleancut_agent_fences_lifted_total", "Fences that this agent had to lift."
        )
        self.fences_stuck = gauge(
            "cleancut_agent_fences_stuck",
            "Fences that cannot be lifted: their alias' name was taken meanwhile.",
        )
        self.effects = Counter(
            "cleancut_agent_effects_total",
            "Steps done for an operation.",
            [*labels, "effect", "result"],
            registry=self.registry,
        )
        self._labels = labels

    def count_effect(self, effect: str, result: str) -> None:
        self.effects.labels(**self._labels, effect=effect, result=result).inc()

    def render(self) -> tuple[bytes, str]:
        return generate_latest(self.registry), CONTENT_TYPE
