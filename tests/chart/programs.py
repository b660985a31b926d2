"""The rendered command lines, given to the programs' own parsers. Sidecars' manners."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

import cleancut_agent.main
import cleancut_coordinator.main
import cleancut_operator.main
from cleancut.cli.settings import parse_size
from cleancut.core.primitives.errors import CleancutError
from cleancut.daemon_settings import (
    read_fences,
    read_notify,
    read_retention,
    read_schedules,
    read_stores,
)
from cleancut.runtime.addresses import parse_address, parse_addresses
from cleancut.store.urls import parse_store_url
from cleancut_coordinator.api.listen import read_roles
from tests.chart.checks import called, pods
from tests.chart.rendering import Object

PROGRAMS = {
    "cleancut-agent": cleancut_agent.main.cli,
    "coordinator": cleancut_coordinator.main.cli,
}
"""By the name of the container."""
LEAST_READY_S = 20
STANDING_IN = {"POD_NAME": "pod-0", "POD_IP": "10.0.0.1"}


def program_faults(found: list[Object]) -> Iterator[str]:
    """Flags and settings that the programs do not know or take."""
    maps = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    for one, _, spec in pods(found):
        for container in spec["containers"]:
            if container["name"] == "operator":
                yield from (
                    f"{called(one)} operator: {text}" for text in _operator_faults(container)
                )
        settings = [
            maps.get(volume["configMap"]["name"], {}).get("settings.toml", "")
            for volume in spec.get("volumes", [])
            if "configMap" in volume
        ]
        for container in spec["containers"]:
            if container["name"] in PROGRAMS:
                try:
                    parse(container, settings[0] if settings else "")
                except (click.ClickException, CleancutError, tomllib.TOMLDecodeError) as error:
                    yield f"{called(one)} {container['name']}: {error}"


def parse(container: Object, settings: str) -> dict[str, Any]:
    """The flags as the program gets them; its settings file is `settings`.

    Raises: ClickException, CleancutError.
    """
    args = [_filled(arg) for arg in container["args"]]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_text(settings)
        args = [f"--config={file}" if arg.startswith("--config=") else arg for arg in args]
        program = PROGRAMS[container["name"]]
        with program.make_context(container["name"], args, resilient_parsing=False) as context:
            read_fences(context, 2.0)
            read_notify(context)
            read_retention(context)
            read_schedules(context)
            read_stores(context)
            read_roles(context)
            unknown = set(tomllib.loads(settings)) - _settings_of(program)
            if context.args:  # an agent that stays leaves them out
                raise click.UsageError(f"no such flags: {context.args}")
            if unknown:
                raise click.UsageError(f"no such settings: {sorted(unknown)}")
            parse_address(context.params["http"])
            parse_store_url(context.params["store"])
            return dict(context.params)


def _operator_faults(container: Object) -> Iterator[str]:
    """Its arguments and its environment, each variable as the flag of its name."""
    program = cleancut_operator.main.cli
    given = [(one["name"], one["value"]) for one in container["env"]]
    flags = {name.removeprefix("CLEANCUT_").lower().replace("_", "-"): v for name, v in given}
    args = [*container["args"], *(f"--{flag}={value}" for flag, value in flags.items())]
    if container["command"] != ["cleancut-operator"]:
        yield f"runs {container['command']}"
    try:
        with program.make_context("operator", args) as context:
            parse_address(context.params["http"])
            parse_addresses(context.params["coordinator"])
    except (click.ClickException, CleancutError) as error:
        yield str(error)


def _filled(arg: str) -> str:
    """As kubelet does it."""
    for name, value in STANDING_IN.items():
        arg = arg.replace(f"$({name})", value)
    return arg


def _settings_of(program: click.Command) -> set[str]:
    flags = {flag.removeprefix("--") for param in program.params for flag in param.opts}
    return flags | {"fence", "notify", "retention", "roles", "schedule", "store"}


def sidecar_faults(found: list[Object]) -> Iterator[str]:
    """What could take Qdrant out of service with its agent."""
    for one, metadata, spec in pods(found):
        for container in spec["containers"]:
            if container["name"] == "cleancut-agent":
                if one["spec"].get("minReadySeconds", 0) < LEAST_READY_S:
                    yield f"{called(one)}: a roll-out passes by an agent that ends at once"
                yield from (f"{called(one)}: {text}" for text in _manners(container))
                yield from (f"{called(one)}: {text}" for text in _surroundings(metadata, spec))


def _manners(agent: Object) -> Iterator[str]:
    probe = agent.get("livenessProbe", {})
    if {"readinessProbe", "startupProbe"} & set(agent):
        yield "the pod is ready only if the agent is"
    if probe.get("httpGet", {}).get("path") != "/livez":
        yield "the agent's liveness is not its own loop's"
    if probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < 120:
        yield "the agent's liveness is in a hurry"
    if agent.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        yield "an agent that ended does not say why"
    if "ephemeral-storage" not in agent["resources"]["requests"]:
        yield "what agents spill makes the pod the first that a node short of disk evicts"
    if "--stay" not in agent["args"]:
        yield "the agent ends when something is missing"
    if agent["imagePullPolicy"] != "IfNotPresent":
        yield "a registry that is away keeps Qdrant from starting"


def _surroundings(metadata: Object, spec: Object) -> Iterator[str]:
    annotations = metadata.get("annotations", {})
    if annotations.get("kubectl.kubernetes.io/default-container") != "qdrant":
        yield "kubectl talks to the agent by default"
    for volume in spec["volumes"]:
        if "secret" in volume and not volume["secret"].get("optional"):
            yield f"without {volume['name']} no pod starts"
        if volume["name"] == "cleancut-spill":
            limit = parse_size(f"{volume['emptyDir']['sizeLimit']}B")
            (agent,) = (one for one in spec["containers"] if one["name"] == "cleancut-agent")
            bounds = [a for a in agent["args"] if a.startswith("--spill-max=")]
            if not bounds or limit < 2 * parse_size(bounds[0].partition("=")[2]):
                yield "a full spill volume evicts the pod"
