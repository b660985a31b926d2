"""Code, rules, dashboard and docs speak of the same metrics and alerts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tidy.command_lines import parse
from tests.tidy.tree import ROOT, files, text_of
from tools.gen_metrics_reference import DEBUGGING, names_in, panels, programs, uses

RULES = "charts/cleancut/files/alerts.yaml"
DASHBOARD = "charts/cleancut/files/dashboard.json"
INHIBITS = "charts/cleancut/files/inhibit.yaml"
PARTS = ("source_matchers", "target_matchers")
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Fix", "Silence"]
NAMES = {metric.name for metrics in programs().values() for metric in metrics}
METRIC = re.compile(r"cleancut_(?!(?:agent|coordinator|devcluster|operator|solo)\b)[a-z_]*[a-z]")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(text_of(RULES))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def documented() -> list[str]:
    """Pages that speak of metrics."""
    return [path for path in files() if path.endswith(".md")]


def test_what_rules_and_dashboard_ask_for_exists() -> None:
    """An alert on a metric that nobody tells never fires."""
    assert sorted(set(uses()) - NAMES) == []


def test_what_exists_is_asked_for_or_said_to_be_for_debugging() -> None:
    """A metric that nobody uses is a series that somebody pays for."""
    assert sorted(NAMES - set(uses())) == sorted(DEBUGGING)


def test_queries_ask_for_labels_that_exist() -> None:
    """A selector or a grouping by a label that a metric lacks silently finds nothing."""
    known: dict[str, set[str]] = {}
    for metrics in programs().values():
        for one in metrics:
            known.setdefault(one.name, {"cluster", "agent"}).update(one.labels)
    selector = re.compile(r"(cleancut_[a-z_]+)\{([^}]*)\}")
    queries = [rule["expr"] for rule in rules()] + [query for _, query in panels()]
    wrong = [
        (name, label)
        for query in queries
        for name, selected in selector.findall(query)
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)
        for base in names_in(name)
        if label not in known[base]
    ]
    assert wrong == []


def test_docs_name_no_metric_that_does_not_exist() -> None:
    wrong = [
        f"{path}: {name}"
        for path in documented()
        for name in METRIC.findall(text_of(path))
        if names_in(name) - NAMES
    ]
    assert wrong == []


def test_each_metric_says_what_it_is_and_in_what_unit() -> None:
    metrics = [one for several in programs().values() for one in several]
    for one in metrics:
        assert one.text.endswith("."), one.name
        for unit in ("seconds", "bytes"):
            if f"_{unit}" in one.name:
                assert unit in one.text.lower(), f"{one.name} does not say its unit: {one.text}"


def test_both_programs_mean_the_same_by_a_name() -> None:
    coordinator, agent = ({one.name: one for one in several} for several in programs().values())
    for name in coordinator.keys() & agent.keys():
        assert coordinator[name] == agent[name]


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    pages = {Path(path).stem for path in files() if path.startswith("docs/runbooks/")}
    assert pages == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    name, notes = rule["alert"], rule["annotations"]
    assert name.startswith("Cleancut")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(notes) == {"summary", "description", "action", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbooks/{name}.md"
    assert (ROOT / notes["runbook_url"]).exists()
    assert "{{ $labels.cluster }}" in notes["summary"] or name == "CleancutMetricsAbsent"
    assert f"[{name}](../runbooks/{name}.md) | {rule['labels']['severity']}" in text_of(
        "docs/how-to/monitoring.md"
    )


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_the_action_of_an_alert_can_be_typed(rule: dict[str, Any]) -> None:
    """Labels stand for names that the command takes."""
    line = re.sub(r"\{\{ \$labels\.(\w+) \}\}", _label_value, rule["annotations"]["action"])
    program, *words = line.split()
    assert program == "cleancut"
    parse(words)


def _label_value(found: re.Match[str]) -> str:
    return "drill" if found[1] == "kind" else "nightly"


def test_inhibition_rules_name_alerts_that_exist_and_hold_no_severe_one_back() -> None:
    """A cause holds back its consequences; none of them is more severe than the cause."""
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    inhibits = yaml.safe_load(text_of(INHIBITS))["inhibit_rules"]
    named = [[_alerts_of(one[part]) for part in PARTS] for one in inhibits]
    for sources, targets in named:
        assert not sources & targets
        for source in sources:
            if severity[source] == "warning":
                assert {severity[target] for target in targets} == {"warning"}
    assert all({"cluster", "namespace"} <= set(one["equal"]) for one in inhibits)


def _alerts_of(matchers: list[str]) -> set[str]:
    (matcher,) = matchers
    name, names = re.split(r" =~? ", matcher)
    assert name == "alertname"
    return set(names.strip('"').split("|"))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_runbook_leads_from_the_alert_to_its_end(rule: dict[str, Any]) -> None:
    """The same headings in the same order on each page, and commands to paste."""
    page = text_of(f"docs/runbooks/{rule['alert']}.md")
    assert page.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    diagnosis = page.partition("## Diagnosis")[2].partition("## Fix")[0]
    assert "    cleancut " in diagnosis or "    curl " in diagnosis


def test_each_panel_explains_itself_and_chooses_source_and_cluster() -> None:
    """Who has never seen it can read it, and it shows one cluster of one Prometheus."""
    board = json.loads(text_of(DASHBOARD))
    assert [one["name"] for one in board["templating"]["list"]] == [
        *("datasource", "cluster", "runbooks")
    ]
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert [row["title"] for row in board["panels"] if row["type"] == "row"] == [
        *("Are we safe?", "What is happening now?", "Cost and trend", "Components")
    ]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in shown:
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert "$cluster" in target["expr"], panel["title"]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(text_of(DASHBOARD))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
