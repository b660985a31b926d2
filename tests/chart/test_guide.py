"""The guide's values, taken from the page as they are printed, render and fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.checks import faults
from tests.chart.programs import program_faults, sidecar_faults
from tests.chart.rendering import (
    HELMS,
    ROOT,
    VERSIONS,
    agent_values,
    objects,
    schema_faults,
    template,
    with_agent,
)

PAGE = ROOT / "docs" / "tutorials" / "kubernetes.md"
AUTOMATION = ROOT / "docs" / "how-to" / "automation.md"


def blocks(page: Path) -> list[dict[str, Any]]:
    """Each YAML block of a page."""
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return [yaml.safe_load(text) for text in found]


def steps() -> list[dict[str, Any]]:
    """The values after each step: a later one adds to those before."""
    whole: dict[str, Any] = {}
    made = []
    for block in blocks(PAGE):
        if "kind" not in block:
            whole = {**whole, **block}
            made.append(whole)
    return made


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("step", range(2))
def test_values_of_the_guide_render(helm: str, step: int, tmp_path: Path) -> None:
    """Word by word, each step, without a fault."""
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(steps()[step]))
    ran = template(helm, values)
    assert ran.code == 0, ran.err
    found = objects(ran.out)
    every = [*found, with_agent(agent_values(found))]
    wrong = [*faults(every), *program_faults(every), *sidecar_faults(every)]
    assert [*wrong, *(f for one in every for f in schema_faults(one, VERSIONS[-1]))] == []


def test_manifests_of_the_guide_are_valid() -> None:
    """The claim of the try-out, and the CronJob."""
    whole = [one for page in (PAGE, AUTOMATION) for one in blocks(page) if "kind" in one]
    assert {one["kind"] for one in whole} == {"PersistentVolumeClaim", "CronJob"}
    assert [fault for one in whole for fault in schema_faults(one, VERSIONS[-1])] == []


def test_the_guide_has_all_its_steps() -> None:
    assert len(steps()) == 2


def test_metrics_behind_a_policy_need_a_source(tmp_path: Path) -> None:
    """Otherwise Prometheus is refused, and the first alert is that metrics are absent."""
    last = steps()[-1]
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({**last, "networkPolicy": {"enabled": True}}))
    ran = template("helm4", values)
    assert ran.code != 0
    assert "networkPolicy.monitoring" in ran.err
