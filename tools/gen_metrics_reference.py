"""Generator of docs/reference/metrics.md: both programs' registries, and what uses them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from cleancut_agent.metrics import AgentMetrics
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

FILES = Path(__file__).resolve().parents[1] / "charts" / "cleancut" / "files"
DEBUGGING: Mapping[str, str] = {
    "cleancut_copy_read_timestamp_seconds": "why not later, the log of the coordinator says",
    "cleancut_agent_etcd_records_skipped_total": "which keys, the log of the agent says",
    "cleancut_etcd_records_skipped_total": "which keys, the log of the coordinator says",
}
"""Metrics that neither an alert nor the dashboard uses, and what they are for."""
_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
_NAME = re.compile(r"\bcleancut_[a-z_]+")
_HEAD = """# Metrics

Written by `make docs` from the programs themselves; change it there. Their use is described in
[Monitoring](../how-to/monitoring.md).

Every series has the label `cluster`, an agent's also `agent`. Unknown values are absent, never 0.
Counters exist from the start, with each value of their labels. Times are in seconds since 1970; a
query computes the age. Gauges of a coordinator come from the store or from etcd, on leader and
standby alike; counters and histograms count what the process did since it started. Aggregate
coordinators by `max` for gauges and by `sum` for counters.
"""


class Metric(NamedTuple):
    """One of a program, as its registry has it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def metrics_of(registry: CollectorRegistry) -> list[Metric]:
    """All that a program registers, by name."""
    found = []
    for collector in dict.fromkeys(registry._collector_to_names):
        assert isinstance(collector, MetricWrapperBase)
        (family,) = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        own = tuple(label for label in collector._labelnames if label not in {"cluster", "agent"})
        found.append(Metric(name, family.type, own, family.documentation))
    return sorted(found)


def programs() -> dict[str, list[Metric]]:
    """The metrics of each program, in its order here."""
    return {
        "Coordinator": metrics_of(CoordinatorMetrics("prod").registry),
        "Agent": metrics_of(AgentMetrics("prod", "agent-0").registry),
    }


def names_in(text: str) -> set[str]:
    """The metrics that a query names."""
    return {_SUFFIX.sub("", name) for name in _NAME.findall(text)}


def uses() -> dict[str, list[str]]:
    """Who uses each metric: alerts, and panels of the dashboard."""
    found: dict[str, list[str]] = {}
    for user, query in (*alerts(), *panels()):
        for name in names_in(query):
            if user not in found.setdefault(name, []):
                found[name].append(user)
    return found


def alerts() -> Iterator[tuple[str, str]]:
    """Each alert with its query."""
    document = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            yield f"[{rule['alert']}](../runbooks/{rule['alert']}.md)", rule["expr"]


def panels() -> Iterator[tuple[str, str]]:
    """Each panel of the dashboard with a query of it."""
    document = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield f"*{panel['title']}*", target["expr"]


def reference() -> str:
    """The whole page."""
    parts, used = [_HEAD], uses()
    for program, metrics in programs().items():
        rows = [_row(metric, used.get(metric.name, [])) for metric in metrics]
        table = ["| metric | type | labels | means | used by |", "|---|---|---|---|---|", *rows]
        parts.append("\n".join([f"## {program}", "", *table]) + "\n")
    return "\n".join(parts)


def _row(metric: Metric, used: list[str]) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    users = ", ".join(used) or f"debugging: {DEBUGGING.get(metric.name, '')}"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} | {users} |"


if __name__ == "__main__":
    sys.stdout.write(reference())
