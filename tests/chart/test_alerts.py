"""The alerts that ship, judged by promtool: what fires, what does not, and what is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cleancut_agent.metrics import AgentMetrics
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "charts" / "cleancut" / "files" / "alerts.yaml"
NO_PROMTOOL = "no promtool on PATH: `make deps` as root installs it, with Debian's prometheus"
CASES = sorted((HERE / "alerts").glob("*.yaml"))
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason=NO_PROMTOOL)


def promtool(*arguments: str, text: str = "") -> str:
    """What it says; it has to be content."""
    done = subprocess.run(
        ["promtool", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_sound() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert f"{len(names())} rules found" in said


@needs_promtool
def test_each_alert_fires_when_it_should_and_is_silent_when_it_should() -> None:
    """Labels and rendered texts included."""
    said = promtool("test", "rules", *map(str, CASES))
    assert said.count("SUCCESS") == len(CASES)


@needs_promtool
@pytest.mark.parametrize("metrics", [CoordinatorMetrics("prod"), AgentMetrics("prod", "a0")])
def test_what_a_fresh_process_tells_is_sound(metrics: CoordinatorMetrics | AgentMetrics) -> None:
    assert promtool("check", "metrics", text=metrics.render()[0].decode()) == ""


def names() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("alert", names())
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    """And each case is in a file that is named for its alert."""
    checks: list[dict[str, Any]] = [
        check
        for path in CASES
        if path.stem.partition("-")[0] == alert
        for case in yaml.safe_load(path.read_text())["tests"]
        for check in case["alert_rule_test"]
    ]
    assert {check["alertname"] for check in checks} == {alert}
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}
