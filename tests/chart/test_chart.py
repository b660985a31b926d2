"""The chart, rendered with every values file of its own by both Helms: clean, and all fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from cleancut.core.auth.roles import Role
from cleancut.core.maintenance.retention import Retention
from cleancut.core.maintenance.schedule import ScheduleRule
from cleancut.core.maintenance.stores import StoreRule
from cleancut.core.protocol.fence import FenceRule
from tests.chart.checks import faults
from tests.chart.programs import program_faults, sidecar_faults
from tests.chart.rendering import (
    CHART,
    HELMS,
    NAMESPACE,
    ROOT,
    VALUES,
    VERSIONS,
    Object,
    agent_values,
    objects,
    rendered,
    run,
    schema_faults,
    template,
    tool,
    with_agent,
)
from tools.gen_chart import VALUES as VALUES_FILE
from tools.gen_chart import documented, write

TRYOUT = CHART / "ci" / "tryout-values.yaml"
LINT = "{extends: relaxed, rules: {line-length: {max: 120}}}"


def whole(helm: str, values: Path) -> list[Object]:
    """What was rendered, and a Qdrant with the agent in it."""
    found = rendered(helm, values)
    snippet = agent_values(found)
    return [*found, *([with_agent(snippet)] if snippet else [])]


def coordinator_of(found: tuple[Object, ...]) -> Object:
    """Its container, in the only Deployment that has one of that name."""
    specs = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    each = [one for spec in specs for one in spec["containers"]]
    (container,) = (one for one in each if one["name"] == "coordinator")
    return dict(container)


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_say(helm: str, values: Path) -> None:
    ran = run(tool(helm), "lint", "--strict", str(CHART), "--values", str(values))
    assert ran.code == 0, ran.out + ran.err
    assert "WARNING" not in ran.out + ran.err


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_all_that_is_rendered_is_valid_and_fits(helm: str, values: Path) -> None:
    """Kubernetes' schemas with no unknown field, our own checks, and the programs' own parsers."""
    found = whole(helm, values)
    wrong = [*faults(found), *program_faults(found), *sidecar_faults(found)]
    wrong += [
        fault for one in found for version in VERSIONS for fault in schema_faults(one, version)
    ]
    assert wrong == []


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_both_helms_render_the_same(values: Path) -> None:
    assert rendered("helm3", values) == rendered("helm4", values)


def test_values_files_use_what_there_is() -> None:
    """Every optional object is rendered by one of them, and left out by another."""
    kinds = [{one["kind"] for one in rendered("helm4", values)} for values in VALUES]
    always = set.intersection(*kinds)
    assert always == {"Deployment", "Service", "ConfigMap", "Pod"}
    wanted = {"ServiceAccount", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"}
    wanted |= {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert wanted <= set.union(*kinds)


def test_alerts_and_dashboard_ship_as_they_are() -> None:
    """What promtool and Prometheus were tested with, with the release's namespace as a label; and
    byte for byte what Grafana opens."""
    found = rendered("helm4", CHART / "ci" / "monitoring-values.yaml")
    (rule,) = (one for one in found if one["kind"] == "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    shipped = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    for group in shipped["groups"]:
        for one in group["rules"]:
            one["labels"]["namespace"] = NAMESPACE  # Alertmanager routes by it
    assert rule["spec"] == shipped
    (board,) = (one for one in found if one["metadata"]["name"].endswith("-dashboard"))
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    kept = (CHART / "files" / "dashboard.json").read_text()
    assert board["data"]["cleancut.json"].strip() == kept.strip()


def test_runbooks_become_links_where_their_address_is_given() -> None:
    base = "https://wiki.example/runbooks/"
    setting = f"monitoring.prometheusRule.runbookBaseUrl={base}"
    values = CHART / "ci" / "monitoring-values.yaml"
    ran = template("helm4", values, CHART, "--set", setting)
    found = objects(ran.out)
    (rule,) = (one for one in found if one["kind"] == "PrometheusRule")
    rules = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    links = {one["alert"]: one["annotations"]["runbook_url"] for one in rules}
    assert links == {alert: f"{base}{alert}.md" for alert in links}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("etcd.tryot.enabled=true",), "tryot"),
        (("cluster=Not Valid",), "cluster"),
        (("store.url=ftp://x",), "store"),
        (("settings.retention.keep-dayly=7",), "keep-dayly"),
        (("settings.schedule.nightly.overlap=never",), "overlap"),
        (("replicaCount=2",), "api.tlsSecret"),
        (("etcd.tryout.enabled=false",), "etcd.endpoints"),
        (("store.existingClaim=",), "store.existingClaim"),
        (("store.url=s3://bucket/x",), "store.existingClaim"),
        (("qdrant.apiKeySecret=key",), "qdrant.apiKeySecret"),
        (("insecure={all}",), "insecure"),
        (("settings.roles.king={dns:x}",), "king"),
        (("agent.extraArgs={--x\"y}",), "extraArgs"),
        (("api.clientCertificates=none",), "api.clientCertificates"),
        (("api.clientCertificates=optional",), "clientCertificates"),
        (("api.tokensSecret=tokens",), "api.tokensSecret"),
        (("operator.enabled=true",), "operator.enabled"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_refused(settings: tuple[str, ...], told: str) -> None:
    """With the name of what is wrong."""
    more = [word for setting in settings for word in ("--set", setting)]
    ran = template("helm4", TRYOUT, CHART, *more)
    assert ran.code != 0, settings
    assert told in ran.err


def test_helm_3_refuses_unknown_values_too() -> None:
    ran = template("helm3", TRYOUT, CHART, "--set", "etcd.tryot.enabled=true")
    assert ran.code != 0
    assert "tryot" in ran.err


def test_as_part_of_another_chart_it_takes_global_values() -> None:
    more = ("--set", "global.others.key=1")
    assert template("helm4", TRYOUT, CHART, *more).code == 0


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return loaded


def test_the_schema_has_the_words_of_the_programs_settings() -> None:
    """A word that the coordinator learns has to be learnt here too."""
    words = schema()["definitions"]
    for name, kind in (
        ("schedule", ScheduleRule),
        ("retention", Retention),
        ("fence", FenceRule),
        ("store", StoreRule),
    ):
        known = {field.replace("_", "-") for field in kind.__struct_encode_fields__}
        assert set(words[name]["properties"]) == known, name
    roles = schema()["properties"]["settings"]["properties"]["roles"]
    assert set(roles["properties"]) == {role.name.lower() for role in Role}


def test_the_schema_has_exactly_the_values_that_there_are() -> None:
    """At every level that is not free."""

    def compare(values: Any, shape: dict[str, Any], path: str) -> None:
        if "properties" not in shape or path == ".settings":
            return
        assert set(values) == set(shape["properties"]), path
        for name in values:
            compare(values[name], shape["properties"][name], f"{path}.{name}")

    compare(yaml.safe_load((ROOT / VALUES_FILE).read_text()), schema(), "")


def test_every_value_is_explained() -> None:
    text = (ROOT / VALUES_FILE).read_text()
    told = {path for path, _, _ in documented(text)}

    def leaves(values: Any, path: str = "") -> list[str]:
        if path in told or not isinstance(values, dict):
            return [path]
        return [
            leaf for name in values for leaf in leaves(values[name], f"{path}.{name}".lstrip("."))
        ]

    assert [leaf for leaf in leaves(yaml.safe_load(text)) if leaf not in told] == []


def test_what_is_generated_is_up_to_date(tmp_path: Path) -> None:
    """`make docs` was run after the last change of values.yaml or of the agent's template."""
    write(tmp_path)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(made) == 6
    for path in made:
        kept = ROOT / path.relative_to(tmp_path)
        assert kept.read_text() == path.read_text(), f"{kept}: run `make docs`"


def test_yaml_is_written_well() -> None:
    """Files that are no templates."""
    config = YamlLintConfig(LINT)
    files = [*VALUES, CHART / "values.yaml", CHART / "Chart.yaml"]
    files += (ROOT / "charts" / "kustomize").rglob("*.yaml")
    problems = [
        f"{path}:{problem.line} {problem.desc}"
        for path in files
        for problem in linter.run(path.read_text(), config)
    ]
    assert problems == []


def test_the_command_line_in_the_pod_asks_its_own_coordinator_first() -> None:
    """A Service without a ready pod has no endpoints, and this process knows why."""
    for values in VALUES:
        found = rendered("helm4", values)
        container = coordinator_of(found)
        env = {one["name"]: one.get("value", "") for one in container["env"]}
        first, *others = env["CLEANCUT_COORDINATOR"].split(",")
        assert first.startswith("127.0.0.1:")
        assert all(".svc:" in one for one in others)


def test_tokens_alone_are_enough_where_no_certificate_is_asked_for() -> None:
    """Then the API has no CA of clients, and the command line in the pod sends a token."""
    found = rendered("helm4", CHART / "ci" / "tokens-values.yaml")
    container = coordinator_of(found)
    env = {one["name"]: one.get("value", "") for one in container["env"]}
    assert "--tokens-file=/etc/cleancut/tokens/tokens" in container["args"]
    assert not any(arg.startswith("--grpc-ca") for arg in container["args"])
    assert env["CLEANCUT_TOKEN_FILE"] == "/etc/cleancut/client-token/token"
    assert "CLEANCUT_CERT" not in env
