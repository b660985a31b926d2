"""The Dockerfiles, as far as they can be judged without a build; `make images` builds them."""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests.chart.rendering import ROOT, run, tool

DOCKERFILES = ("Dockerfile.agent", "Dockerfile.coordinator")
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
{imports}
"""


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing_to_say(name: str) -> None:
    ran = run(tool("hadolint"), "--config", str(ROOT / ".hadolint.yaml"), str(ROOT / name))
    assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_it_runs_as_a_number_and_starts_a_program_that_there_is(name: str) -> None:
    """A user with a name cannot be proved not to be root."""
    last = (ROOT / name).read_text().rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (.+)$", last, re.MULTILINE)
    assert len(user) == 1
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user[0])
    assert re.findall(r"^STOPSIGNAL (.+)$", last, re.MULTILINE) == ["SIGTERM"]
    (entry,) = json.loads(re.findall(r"^ENTRYPOINT (.+)$", last, re.MULTILINE)[0])
    assert f"\n{entry} = " in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_all_that_is_copied_is_let_in_and_nothing_else_is(name: str) -> None:
    """.dockerignore lets in by name."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / name).read_text(), re.MULTILINE)
    sources = {word for words in copied for word in words.split()}
    assert sources <= allowed
    assert all((ROOT / source).exists() for source in allowed)


@pytest.mark.parametrize(
    ("name", "imports"),
    [
        (
            "Dockerfile.agent",
            "import cleancut_agent.main, cleancut.store.s3, cleancut.store.file",
        ),
        (
            "Dockerfile.coordinator",
            "import cleancut_solo.main, cleancut_operator.main, cleancut.cli.main",
        ),
    ],
)
def test_programs_do_without_what_their_image_leaves_out(name: str, imports: str) -> None:
    """Nothing that runs there imports what `--without` names or what only the demo needs."""
    modules = {"pyyaml": "yaml", "rich": "rich"}
    left_out = re.findall(r"--without (\S+)", (ROOT / name).read_text())
    demo = ["qdrant_client", "numpy"]
    blocked = [*demo, *(modules[package] for package in left_out)]
    others = {
        "Dockerfile.agent": [
            "cleancut_coordinator",
            "cleancut_devcluster",
            "cleancut_operator",
            "cleancut_solo",
        ],
        "Dockerfile.coordinator": [],
    }
    program = BLOCKED.format(blocked=[*blocked, *others[name]], imports=imports)
    ran = run(sys.executable, "-c", program)
    assert ran.code == 0, ran.err


def test_the_pins_are_those_of_the_dependencies() -> None:
    """tools/constraints.txt pins each dependency of pyproject.toml that an image installs."""
    wanted = ("azure", "drill", "gcs", "operator")
    extras = [word for extra in wanted for word in ("--extra", extra)]
    ran = run(sys.executable, str(ROOT / "tools/requirements.py"), *extras)
    named = {re.split(r"[><=]", line)[0] for line in ran.out.split()}
    text = (ROOT / "tools/constraints.txt").read_text()
    pinned = {line.partition("==")[0] for line in text.splitlines() if "==" in line}
    assert ran.code == 0
    assert named <= pinned
