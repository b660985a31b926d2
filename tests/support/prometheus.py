"""A real Prometheus beside a set-up: what it scrapes, says, and which rules it evaluates.

Alerts are made for schedules of hours and days. A test plays an hour in a few seconds: `played`
makes the same file fit that, and changes nothing else of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cleancut.core.primitives.errors import Unavailable
from cleancut_devcluster.launch.free_ports import free_ports
from cleancut_devcluster.launch.process import Child, start_child, wait_for, wait_logged
from cleancut_devcluster.launch.setup import Setup

FILES = Path(__file__).resolve().parents[2] / "charts" / "cleancut" / "files"
NO_PROMETHEUS = "no prometheus and promtool on PATH: `make deps` as root installs them"
READY_S = 30.0
_MAX_AGE = re.compile(r"\w+ by \([^()]*\) \(cleancut_schedule_max_age_seconds")
_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: cleancut
    static_configs: [{{targets: [{targets}]}}]
"""


def need_prometheus() -> None:
    """Skips the test, and says why, where there is none."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip(NO_PROMETHEUS)


def load_rules() -> dict[str, Any]:
    """The rules by alert, as they ship."""
    document = yaml.safe_load((FILES / "alerts.yaml").read_text())
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def played(alert: str, hour_s: float) -> str:
    """The rules file as it ships, but for one alert: schedules' intervals pass in `hour_s` seconds
    for each hour, and what it waits for before it fires passes in one second."""
    document = yaml.safe_load((FILES / "alerts.yaml").read_text())
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        if rule["alert"] == alert:
            rule["expr"], found = _MAX_AGE.subn(
                lambda match: f"{hour_s / 3600:.9f} * {match[0]}", rule["expr"]
            )
            assert found == 1, rule["expr"]
            rule["for"] = "1s"
    return yaml.safe_dump(document)


@dataclass(slots=True)
class Prometheus:
    child: Child
    url: str

    async def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(await asyncio.to_thread(fetch, url))["data"]
        except OSError as error:
            raise Unavailable(f"Prometheus does not answer: {error}", self.child.tail()) from error

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, now."""
        found: list[dict[str, Any]] = (await self._get("query", query=expression))["result"]
        return found

    async def value(self, expression: str) -> float | None:
        """The value of a query that has one, if it has."""
        found = await self.query(expression)
        return float(found[0]["value"][1]) if found else None

    async def times(self, expression: str, since_s: float, until_s: float) -> list[float]:
        """The seconds at which a query had a result."""
        span = {"start": f"{since_s}", "end": f"{until_s}", "step": "1"}
        found = (await self._get("query_range", query=expression, **span))["result"]
        return sorted(float(at) for series in found for at, _ in series["values"])

    async def alert(self, name: str) -> dict[str, Any] | None:
        """The alert, if it fires."""
        alerts = (await self._get("alerts"))["alerts"]
        firing = [one for one in alerts if one["state"] == "firing"]
        return next((one for one in firing if one["labels"]["alertname"] == name), None)

    async def rules(self) -> list[dict[str, Any]]:
        """All rules, each with its health."""
        groups = (await self._get("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def wait_value(self, expression: str, above: float, limit_s: float = READY_S) -> float:
        """The value of a query once it is more than that. Raises: TimedOut."""

        async def look() -> float | None:
            value = await self.value(expression)
            return value if value is not None and value > above else None

        return await wait_for(look, expression, limit_s, 0.2)


def fetch(url: str) -> str:
    """The body at a URL. Raises: OSError."""
    with urllib.request.urlopen(url, timeout=10.0) as answer:
        return str(answer.read().decode())


async def http_ports(setup: Setup) -> dict[str, str]:
    """Where each living process of ours serves its metrics, by name."""
    living = [*setup.agents, *(one.child for one in setup.coordinators)]
    return {
        child.name: await wait_logged(child, "listening", "http_port")
        for child in living
        if child.running
    }


@asynccontextmanager
async def run_prometheus(setup: Setup, rules: str) -> AsyncIterator[Prometheus]:
    """Scrapes all living processes of the set-up each second. Raises: Unavailable, TimedOut."""
    folder = setup.base_dir / "prometheus"
    folder.mkdir()
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in (await http_ports(setup)).values())
    (folder / "prometheus.yaml").write_text(_CONFIG.format(targets=targets))
    (folder / "rules.yaml").write_text(rules)
    (port,) = free_ports(1)
    argv = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    child = await start_child("prometheus", argv, setup.logs / "prometheus.log")
    try:
        server = Prometheus(child, f"http://127.0.0.1:{port}")
        await server.wait_value("count(up == 1)", above=0)
        yield server
    finally:
        await child.stop()
