"""`cleancut alerts` and `cleancut dashboard`: the files of the chart, as files or as resources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run

CHART = Path(__file__).resolve().parents[4] / "charts" / "cleancut" / "files"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == Exit.OK
    return capsys.readouterr().out


def test_alerts_are_the_rule_file_of_the_chart(capsys: pytest.CaptureFixture[str]) -> None:
    """Comments included; a package and the chart of one version have the same rules."""
    assert printed(capsys, "alerts") == (CHART / "alerts.yaml").read_text()


def test_alerts_as_a_resource(capsys: pytest.CaptureFixture[str]) -> None:
    words = "alerts --kind PrometheusRule --namespace watch --label release=prom --label a/b=c"
    found = yaml.safe_load(printed(capsys, *words.split()))
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert found["metadata"] == {
        "name": "cleancut",
        "namespace": "watch",
        "labels": {"release": "prom", "a/b": "c"},
    }
    assert found["spec"] == yaml.safe_load((CHART / "alerts.yaml").read_text())


def test_alerts_as_json_have_the_version_of_the_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "alerts", "-o", "json"))
    assert "schema" in found
    assert found["alerts"] == yaml.safe_load((CHART / "alerts.yaml").read_text())


def test_runbooks_become_links(capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a resource; the rest of the file stays as it is."""
    base = "https://wiki.example/runbooks/"
    plain = (CHART / "alerts.yaml").read_text()
    linked = printed(capsys, "alerts", "--runbook-base", base)
    assert linked == plain.replace("runbook_url: docs/runbooks/", f"runbook_url: {base}")
    found = yaml.safe_load(
        printed(capsys, "alerts", "--kind", "PrometheusRule", "--runbook-base", base)
    )
    assert found["spec"] == yaml.safe_load(linked)


def test_inhibition_rules_for_alertmanager(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("alerts", "--kind", "inhibit-rules")
    assert printed(capsys, *words) == (CHART / "inhibit.yaml").read_text()


def test_a_dashboard_is_what_grafana_imports(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "dashboard") == (CHART / "dashboard.json").read_text()


def test_a_dashboard_as_a_config_map(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the label that Grafana's sidecar selects, unless another one is given."""
    found = yaml.safe_load(printed(capsys, "dashboard", "--kind", "ConfigMap", "--name", "qdrant"))
    assert found["metadata"] == {"name": "qdrant", "labels": {"grafana_dashboard": "1"}}
    assert found["data"] == {"cleancut.json": (CHART / "dashboard.json").read_text()}
    words = "dashboard --kind ConfigMap --label dashboards=yes"
    other = yaml.safe_load(printed(capsys, *words.split()))
    assert other["metadata"]["labels"] == {"dashboards": "yes"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("alerts --namespace watch", "not for --kind rules"),
        ("alerts --runbook-base wiki.example", "invalid --runbook-base 'wiki.example'"),
        ("dashboard --label a=b", "not for --kind dashboard"),
        ("alerts --kind PrometheusRule --label release", "invalid --label 'release'"),
        ("alerts --kind PrometheusRule --label a=b/c", "invalid --label 'a=b/c'"),
        ("alerts --kind PrometheusRule --namespace Watch", "invalid --namespace 'Watch'"),
        ("dashboard --kind ConfigMap --name a_b", "invalid --name 'a_b'"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == Exit.USAGE
    assert message in capsys.readouterr().err
