"""Defects that people make, each planted in a copy: something has to find it; a table says what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chart.checks import (
    monitor_faults,
    name_faults,
    pod_faults,
    port_faults,
    rule_faults,
    selector_faults,
)
from tests.chart.programs import program_faults, sidecar_faults
from tests.chart.rendering import (
    CHART,
    ROOT,
    VERSIONS,
    Object,
    agent_values,
    rendered,
    run,
    schema_faults,
    template,
    tool,
    with_agent,
)

PRODUCTION = CHART / "ci" / "production-values.yaml"


class Defect(NamedTuple):
    """`old` becomes `new`, at the last place where it is, in a copy of `where`."""

    name: str
    where: str
    old: str
    new: str


RENDERED = (
    Defect("a misspelt field", "production Deployment", "imagePullPolicy", "imagePullPolcy"),
    Defect("a selector of no pod", "production Service", '"coordinator"', '"coordinater"'),
    Defect("a mount without volume", "existing-secrets Deployment", '"store-tls"', '"store-ca"'),
    Defect("a volume of two kinds", "monitoring Deployment", '"emptyDir"', '"nfs": {}, "emptyDir"'),
    Defect("a probe of no port", "production Deployment", '"port": "http"', '"port": "web"'),
    Defect("a target of no port", "production Service", 'Port": "http"', 'Port": "web"'),
    Defect("a port's long name", "production Deployment", '"http", ', '"health-and-metric", '),
    Defect("an unknown flag", "production Deployment", "--qdrant-url=", "--qdrant-urls="),
    Defect("a file that is not mounted", "production Deployment", "api-key/", "apikey/"),
    Defect("a wrong key of settings", "production ConfigMap", '"settings.toml"', '"settings"'),
    Defect("a setting that does not exist", "production ConfigMap", "[retention]", "[retentoin]"),
    Defect("a variable twice", "production Deployment", '"POD_IP"', '"POD_NAME"'),
    Defect("a pod that is root", "production Deployment", '"runAsUser": 65532', '"runAsUser": 0'),
    Defect("a monitor of no port", "monitoring ServiceMonitor", '"port": "http"', '"port": "web"'),
    Defect("a secret waited for", "production StatefulSet", '"optional": true', '"items": []'),
    Defect("a readiness of the agent", "production StatefulSet", "livenessProbe", "readinessProbe"),
    Defect("a hasty roll-out", "production StatefulSet", '"minReadySeconds": 20, ', ""),
    Defect("a spill without bound", "production StatefulSet", '"--spill-max=4096MiB", ', ""),
    Defect("an agent that gives up", "production StatefulSet", '"--stay", ', ""),
)  # fmt: skip
CHARTED = (
    Defect("a block that is not closed", "templates/service.yaml", "{{- end }}", ""),
    Defect("a value that is not there", "templates/service.yaml", ".Values.api.", ".Values.apis."),
    Defect("a default of another kind", "values.yaml", "replicaCount: 2", "replicaCount: two"),
    Defect("a misspelt value", "ci/production-values.yaml", "apiKeySecret", "apiKeySecert"),
    Defect("another agent than the command's", "files/agent-values.yaml", "/livez", "/readyz"),
)
DOCKED = (
    Defect("a root user", "Dockerfile.agent", "USER 1000:2000", "USER root"),
    Defect("an image of any version", "Dockerfile.agent", "FROM ${PYTHON_IMAGE}", "FROM python"),
    Defect(
        "a start by a shell", "Dockerfile.agent", 'ENTRYPOINT ["cleancut-agent"]', "ENTRYPOINT x"
    ),
)


def planted(text: str, defect: Defect) -> str:
    head, found, tail = text.rpartition(defect.old)
    assert found, f"{defect.name}: {defect.old!r} is not there any more"
    return head + defect.new + tail


def whole(values: str) -> list[Object]:
    found = rendered("helm4", CHART / "ci" / f"{values}-values.yaml")
    return [*found, with_agent(agent_values(found))]


def nets(found: list[Object]) -> dict[str, list[str]]:
    """All that could notice something in a rendering, and what it says."""
    return {
        "schemas": [f for one in found for f in schema_faults(one, VERSIONS[-1])],
        "names": list(name_faults(found)),
        "selectors": list(selector_faults(found)),
        "volumes and files": list(pod_faults(found)),
        "ports": list(port_faults(found)),
        "monitors": list(monitor_faults(found)),
        "security": list(rule_faults(found)),
        "the program": list(program_faults(found)),
        "sidecar's manners": list(sidecar_faults(found)),
    }


def caught_in_rendering(defect: Defect) -> dict[str, str]:
    """Who noticed it, and what was said first."""
    values, kind = defect.where.split()
    found = [json.loads(json.dumps(one)) for one in whole(values)]
    index = next(i for i, one in enumerate(found) if one["kind"] == kind and _ours(one))
    found[index] = json.loads(planted(json.dumps(found[index]), defect))
    try:
        return {name: said[0] for name, said in nets(found).items() if said}
    except KeyError as error:  # a part that the checks take for granted
        return {"schemas": schema_faults(found[index], VERSIONS[-1])[0], "shape": f"no {error}"}


def _ours(one: Object) -> bool:
    return one["kind"] != "ConfigMap" or "settings.toml" in one["data"]


def caught_in_chart(defect: Defect, folder: Path) -> dict[str, str]:
    chart = folder / "cleancut"
    shutil.copytree(CHART, chart)
    file = chart / defect.where
    file.write_text(planted(file.read_text(), defect))
    values = chart / "ci" / PRODUCTION.name
    lint = run(tool("helm4"), "lint", "--strict", str(chart), "--values", str(values))
    made = template("helm4", values, chart)
    same = (chart / "files" / "agent-values.yaml").read_text() == (
        ROOT / "cleancut" / "cli" / "commands" / "agent_values.yaml"
    ).read_text()
    said = {
        "helm lint": "" if lint.code == 0 else lint.out + lint.err,
        "helm template": "" if made.code == 0 else made.err,
        "generated files": "" if same else "files/agent-values.yaml is not the command's",
    }
    return {name: text.strip().splitlines()[-1] for name, text in said.items() if text}


def caught_in_dockerfile(defect: Defect, folder: Path) -> dict[str, str]:
    file = folder / defect.where
    file.write_text(planted((ROOT / defect.where).read_text(), defect))
    ran = run(tool("hadolint"), "--no-color", "--config", str(ROOT / ".hadolint.yaml"), str(file))
    return {"hadolint": ran.out.splitlines()[0].partition(":")[2]} if ran.code else {}


def test_every_planted_defect_is_caught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And where nothing is planted, nothing is said (see test_chart)."""
    rows = [(defect, caught_in_rendering(defect)) for defect in RENDERED]
    for number, defect in enumerate(CHARTED):
        (tmp_path / f"chart-{number}").mkdir()
        rows.append((defect, caught_in_chart(defect, tmp_path / f"chart-{number}")))
    rows += [(defect, caught_in_dockerfile(defect, tmp_path)) for defect in DOCKED]
    with capsys.disabled():
        print()  # noqa: T201
        for defect, said in rows:
            by = ", ".join(said) or "NOTHING"
            print(f"  {defect.name:33} {by:45} {next(iter(said.values()), '')[:80]}")  # noqa: T201
    assert [defect.name for defect, said in rows if not said] == []
    assert len(rows) >= 10
