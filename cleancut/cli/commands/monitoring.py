"""`cleancut alerts` and `cleancut dashboard`: the files for Prometheus and Grafana that belong to
this version. They need no connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cleancut.cli.render.output import document
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.errors import Invalid

FILES = Path(__file__).parent
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?")
_KUBERNETES = (
    click.option("--name", metavar="NAME", help="Name of the resource. Default: cleancut."),
    click.option("--namespace", metavar="NAME", help="Namespace of the resource."),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="Label of the resource, by which its operator selects it; repeatable.",
    ),
)


def _kubernetes(command: Any) -> Any:
    for option in reversed(_KUBERNETES):
        command = option(command)
    return command


@click.command(cls=Verb)
@click.option(
    "--kind",
    type=click.Choice(["rules", "PrometheusRule", "inhibit-rules"]),
    default="rules",
    show_default=True,
    help="A rule file of Prometheus, the resource of its operator, or inhibition rules for"
    " Alertmanager.",
)
@click.option(
    "--runbook-base",
    default="",
    metavar="URL",
    help="Address of the folder of runbooks, for links.  [default: a path in the repository]",
)
@_kubernetes
@click.pass_context
def alerts(context: click.Context, /, kind: str, runbook_base: str, **of_resource: Any) -> None:
    """Print the alerting rules of this version. Prometheus loads them without changes."""
    import yaml

    inhibits = kind == "inhibit-rules"
    text = (FILES / ("inhibit.yaml" if inhibits else "alerts.yaml")).read_text(encoding="utf-8")
    if runbook_base:
        text = _linked(text, runbook_base)
    metadata = _metadata(kind == "PrometheusRule", kind, **of_resource)
    spec = yaml.safe_load(text)
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }
    shown = resource if kind == "PrometheusRule" else spec
    if settings_of(context).output == "json":
        document("json", {"alerts": shown})
    elif kind != "PrometheusRule":
        write_out(text)
    else:
        write_out(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=1000))


@click.command(cls=Verb)
@click.option(
    "--kind",
    type=click.Choice(["dashboard", "ConfigMap"]),
    default="dashboard",
    show_default=True,
    help="A dashboard that Grafana imports, or a ConfigMap for its sidecar.",
)
@_kubernetes
@click.pass_context
def dashboard(context: click.Context, /, kind: str, **of_resource: Any) -> None:
    """Print the Grafana dashboard of this version: JSON, or a ConfigMap with it as YAML.

    A ConfigMap without --label has the label that Grafana's sidecar selects: grafana_dashboard=1.
    """
    import yaml

    text = (FILES / "dashboard.json").read_text(encoding="utf-8")
    settings = settings_of(context)
    if kind == "ConfigMap" and not of_resource["labels"]:
        of_resource["labels"] = ("grafana_dashboard=1",)
    metadata = _metadata(kind == "ConfigMap", kind, **of_resource)
    if kind == "dashboard":
        write_out(text)
        return
    resource = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata,
        "data": {"cleancut.json": text},
    }
    if settings.output == "json":
        document("json", {"dashboard": resource})
    else:
        write_out(yaml.safe_dump(resource, sort_keys=False, allow_unicode=True, width=1000))


def _linked(text: str, base: str) -> str:
    """The rules with links to runbooks below `base`. Raises: Invalid."""
    if not base.startswith(("http://", "https://")) or not base.isprintable() or " " in base:
        raise Invalid(f"invalid --runbook-base {base!r}", "write https://HOST/PATH")
    folder = base.rstrip("/").replace("\\", "\\\\")
    return re.sub(r"(runbook_url: )docs/runbooks", rf"\g<1>{folder}", text)


def _metadata(
    resource: bool, kind: str, *, name: str | None, namespace: str | None, labels: Sequence[str]
) -> dict[str, Any]:
    """Raises: Invalid, for what Kubernetes would refuse, and for flags that nothing would use."""
    if not resource:
        if name or namespace or labels:
            raise Invalid(
                f"--name, --namespace and --label are not for --kind {kind}",
                "remove them, or choose the --kind of a resource",
            )
        return {}
    for flag, given in (("--name", name), ("--namespace", namespace)):
        if given is not None and not _NAME.fullmatch(given):
            raise Invalid(f"invalid {flag} {given!r}", "use lower-case letters, digits and '-'")
    found: dict[str, Any] = {"name": name or "cleancut"}
    if namespace:
        found["namespace"] = namespace
    parsed = dict(_label(text) for text in labels)
    if parsed:
        found["labels"] = parsed
    return found


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and _LABEL.fullmatch(key) and _VALUE.fullmatch(value)):
        raise Invalid(f"invalid --label {text!r}", "write KEY=VALUE, such as release=monitoring")
    return key, value
