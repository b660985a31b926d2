"""States of real clusters, recorded: what the status page and the metrics of the same coordinator
said at one time.

`python -m tests.support.recorded_states NAME PAGE METRICS` records one more, of a running
coordinator's two addresses, such as `cleancut demo --keep` prints.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

STATES = Path(__file__).parents[1] / "data" / "states"
_LIMIT_S = 10.0


@dataclass(frozen=True)
class RecordedState:
    """`now`, `backups`: the documents `/.json` and `/backups.json`. `metrics`: their text."""

    now: dict[str, Any]
    backups: list[dict[str, Any]]
    metrics: str

    def values(self, name: str, **labels: str) -> list[float]:
        """Of the series of a metric that have these labels; none, if it has none."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.metrics)
            for sample in family.samples
            if sample.name == name
            if labels.items() <= sample.labels.items()
        ]


def load_states() -> dict[str, RecordedState]:
    """All, by name."""
    return {
        path.stem: RecordedState(**json.loads(path.read_text()))
        for path in sorted(STATES.glob("*.json"))
    }


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_LIMIT_S) as answer:
        return str(answer.read().decode())


def record(name: str, page: str, metrics: str) -> Path:
    """Gauges alone: counters and histograms are of no alert that is compared."""
    lines = _get(f"http://{metrics}/metrics").splitlines()
    gauges = {line.split()[2] for line in lines if line.startswith("# TYPE") and "gauge" in line}
    kept = [
        line
        for line in lines
        if line.startswith("cleancut_") and line.split("{")[0].split()[0] in gauges
    ]
    state: dict[str, Any] = {
        "now": json.loads(_get(f"http://{page}/.json")),
        "backups": json.loads(_get(f"http://{page}/backups.json?size=20"))["backups"],
        "metrics": "\n".join(kept) + "\n",
    }
    path = STATES / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(state, indent=1, sort_keys=True) + "\n"
    path.write_text(text.replace(state["now"]["status"]["store"]["url"], "file:///store"))
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{record(*sys.argv[1:4])}\n")
