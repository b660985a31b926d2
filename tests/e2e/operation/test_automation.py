"""docs/how-to/automation.md: each of its programs and commands does what the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.tidy.tree import text_of

ADDRESS = "127.0.0.1:7400"
LIMIT_S = 60


@pytest.fixture(scope="module")
def world(launch_module: Launch) -> World:
    """One peer, one coordinator, small data."""
    one = launch_module(peers=1, coordinators=1)
    one.fill()
    return one


def examples(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text_of("docs/how-to/automation.md"), re.DOTALL)


def ran(world: World, *words: str) -> str:
    """What the command printed, with the page's address replaced by this world's."""
    address = world.setup.coordinators[0].address
    done = subprocess.run(
        [word.replace(ADDRESS, address) for word in words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "CLEANCUT_COORDINATOR": address},
    )
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def test_the_python_programs(world: World) -> None:
    waiting, watching, looping = examples("python")
    assert " COMMITTED " in ran(world, sys.executable, "-c", waiting)
    assert ran(world, sys.executable, "-c", watching).splitlines()[-1].startswith("COMMITTED ")
    listed = ran(world, sys.executable, "-c", looping).splitlines()
    assert listed[0].startswith("coordinator-1 ['agent-")
    assert " COMMITTED " in listed[1]


def test_the_commands(world: World) -> None:
    made, checked = examples("sh")[0].splitlines()
    words = shlex.split(made.replace("$(uuidgen)", "6a8f8de2-6f0c-4b0e-8c4e-1f6d7f2f7f12"))
    command = [sys.executable, "-m", "cleancut.cli.main"]
    first = ran(world, *command, *words[1:])
    assert ran(world, *command, *words[1:]) == first, "a repeat is the same backup"
    assert ran(world, *command, *shlex.split(checked, comments=True)[1:]).startswith("OK: ")


def test_the_calls_with_grpcurl(world: World) -> None:
    grpcurl = Path(sys.executable).with_name("grpcurl")
    if not grpcurl.exists():
        pytest.skip("grpcurl is not installed: see the dev extra")
    [calls] = [text for text in examples("sh") if text.startswith("grpcurl ")]
    listed, described, made, found, health = (
        ran(world, str(grpcurl), *shlex.split(line)[1:]) for line in calls.splitlines()
    )
    assert "cleancut.v1.BackupService" in listed.splitlines()
    assert "rpc CreateBackup" in described
    started = json.loads(made)["backup"]["id"]
    assert started in [one["id"] for one in json.loads(found)["backups"]]
    assert json.loads(health) == {"status": "SERVING"}


def test_the_job_is_one(world: World) -> None:
    """Its flags are the command line's; the rest is the chart's own business."""
    [text] = examples("yaml")
    job = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = job["containers"]
    told = ran(world, sys.executable, "-m", "cleancut.cli.main", *container["args"], "--help")
    assert "cleancut backup create" in told
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["volumes"]}
