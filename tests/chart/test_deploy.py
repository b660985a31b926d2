"""What deploy/ holds besides the chart: compose files and systemd units, as far as they can be
judged without a container runtime and without systemd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
import yaml

from cleancut.daemon_settings import shared_of
from cleancut_agent.main import cli as agent
from cleancut_coordinator.main import check_settings, rules_of
from cleancut_coordinator.main import cli as coordinator
from cleancut_solo.main import cli as solo
from tests.chart.rendering import ROOT
from tests.tidy.command_lines import parse

DEPLOY = ROOT / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAMS = {
    "cleancut-agent": agent,
    "cleancut-coordinator": coordinator,
    "cleancut solo": solo,
}
STORE = "s3://backups/qdrant"


def test_the_rehearsal_is_a_script_whose_commands_exist() -> None:
    script = DEPLOY / "rehearse.sh"
    subprocess.run(["sh", "-n", script], check=True)
    lines = re.findall(
        r"^(?:env .*? )?cleancut (.*?)(?: \|\|.*)?$", script.read_text(), re.MULTILINE
    )
    assert len(lines) == 4
    for line in lines:
        parse(shlex.split(line.replace("$store", STORE).replace("$from", "prod")))


def composed(path: Path) -> Any:
    """The file with its one variable filled in."""
    text = re.sub(r"\$\{CLEANCUT_STORE:\?[^}]*\}", STORE, path.read_text(encoding="utf-8"))
    return yaml.safe_load(text)


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """Where each command line of a program stands, the program, and its arguments."""
    for path in COMPOSE:
        for name, service in composed(path)["services"].items():
            image = service["image"].split(":")[0]
            if image.startswith("cleancut-"):
                words = [*service.get("entrypoint", [image]), *service["command"]]
                yield f"{path.name} {name}", *split(words)
    for path in UNITS:
        line = re.search(r"^ExecStart=/opt/cleancut/bin/(.*)$", path.read_text(), re.MULTILINE)
        assert line is not None
        yield path.name, *split(line[1].split())


def split(words: list[str]) -> tuple[str, list[str]]:
    """The program and its arguments, with the settings files of deploy/."""
    program = " ".join(words[: 1 + (words[0] == "cleancut")])
    arguments = words[program.count(" ") + 1 :]
    local = {path.name: str(path) for path in DEPLOY.rglob("*.toml")}
    for at, word in enumerate(arguments):
        found = re.search(r"/etc/cleancut/(\S+)", word)
        if found:
            name = found[1] if "--config=" not in word else f"compose-{found[1]}"
            arguments[at] = word.replace(found[0], local[name])
    return program, arguments


COMMANDS = {where: (program, arguments) for where, program, arguments in commands()}


@pytest.mark.parametrize("where", COMMANDS)
def test_a_program_accepts_its_command_line(where: str) -> None:
    """Flags, their values, and the tables and keys of the settings file."""
    program, arguments = COMMANDS[where]
    PROGRAMS[program].make_context(program, list(arguments))


@pytest.mark.parametrize(
    "where", [where for where, (program, _) in COMMANDS.items() if program != "cleancut-agent"]
)
def test_settings_would_be_accepted_at_a_start(where: str) -> None:
    """What `--check-config` looks at, with the names of files as they are here."""
    program, arguments = COMMANDS[where]
    context = PROGRAMS[program].make_context(program, list(arguments))
    flags = {"name": "solo", "advertise": "", **context.params}
    rules = rules_of(context, flags)
    check_settings(shared_of(flags), flags, rules, structlog.get_logger())
    assert "nightly" in rules.schedules


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_what_a_compose_file_names_is_there(path: Path) -> None:
    """Volumes, services, files and Dockerfiles; images have tags."""
    found = composed(path)
    services, volumes = found["services"], set(found["volumes"])
    used = set()
    for service in services.values():
        assert ":" in service["image"]
        assert not service["image"].endswith(":latest")
        assert set(service.get("depends_on", [])) <= set(services)
        network = service.get("network_mode", "")
        assert not network or network.removeprefix("service:") in services
        assert not network or "ports" not in service, "they are of the service that it joins"
        for source, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            if source.startswith("."):
                assert (path.parent / source).is_file()
            else:
                used.add(source)
        if build := service.get("build"):
            assert (path.parent / build["context"] / build["dockerfile"]).is_file()
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
    assert used == volumes


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_an_agent_shares_the_network_and_the_disk_of_its_peer(path: Path) -> None:
    """A restore's data goes over loopback."""
    services = composed(path)["services"]
    for service in services.values():
        if "network_mode" not in service:
            continue
        peer = services[service["network_mode"].removeprefix("service:")]
        (storage,) = (v for v in peer["volumes"] if v.endswith(":/qdrant/storage"))
        assert f"{storage}:ro" in service["volumes"]
        assert "--qdrant-url=http://127.0.0.1:6333" in service["command"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_unit_and_finds_it_hardened(path: Path, tmp_path: Path) -> None:
    """With the programs of this installation in place of /opt/cleancut."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    here = Path(sys.executable).parent
    unit = tmp_path / path.name
    unit.write_text(path.read_text().replace("/opt/cleancut/bin", str(here)))
    for words in (
        ["verify", "--man=no", str(unit)],
        ["security", "--offline=true", "--threshold=20", str(unit)],
    ):
        done = subprocess.run(
            [analyze, *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_has_the_directories_that_its_settings_name(path: Path) -> None:
    text = path.read_text()
    assert "User=cleancut\n" in text
    assert "u cleancut " in (DEPLOY / "systemd" / "sysusers.conf").read_text()
    settings = (path.parent / f"{path.stem.removeprefix('cleancut-')}.toml").read_text()
    for directory in re.findall(r'^(?:state|spill-dir) = "(.+)"$', settings, re.MULTILINE):
        assert directory == "/var/lib/cleancut"
        assert "StateDirectory=cleancut\n" in text


def test_every_program_is_deployed_in_both_ways() -> None:
    by_file = {where.split()[0].endswith(".service"): set[str]() for where in COMMANDS}
    for where, (program, _) in COMMANDS.items():
        by_file[where.endswith(".service")].add(program)
    assert by_file == {True: set(PROGRAMS), False: set(PROGRAMS)}
    assert all(isinstance(program, click.Command) for program in PROGRAMS.values())
