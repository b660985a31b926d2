"""What is published: the packages' files and metadata; `make release-check` builds them."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import setuptools
import yaml

from cleancut import __version__
from tests.tidy.tree import ROOT, files, text_of
from tools.gen_man import pages
from tools.requirements import pinned

PLACEHOLDER = "cleancut.example"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))
    return found


def test_a_wheel_has_packages_of_this_project_alone() -> None:
    """A folder `agent` or `tests` in site-packages would shadow those of its users."""
    find = project()["tool"]["setuptools"]["packages"]["find"]
    names = {
        name
        for where in find["where"]
        for name in setuptools.find_packages(str(ROOT / where), include=find["include"])
    }
    assert {name.partition(".")[0] for name in names} >= {"cleancut", "cleancut_agent"}
    assert [name for name in sorted(names) if not name.startswith("cleancut")] == []


@pytest.mark.parametrize("kind", ["py.typed", "*.pyi", "*.yaml", "*.json"])
def test_files_of_the_package_that_are_no_modules_are_package_data(kind: str) -> None:
    globs = project()["tool"]["setuptools"]["package-data"]["cleancut"]
    kept = [path for path in files() if path.startswith("cleancut/") and Path(path).match(kind)]
    assert kept
    missing = [path for path in kept if not any(Path(path).match(f"cleancut/{g}") for g in globs)]
    assert missing == []


def test_a_source_distribution_has_the_whole_tree() -> None:
    """Each top folder is in MANIFEST.in, and each file at the top matches a pattern of it."""
    lines = [line.split() for line in text_of("MANIFEST.in").splitlines()]
    grafted = {line[1] for line in lines if line[:1] == ["graft"]}
    patterns = [one for line in lines if line[:1] == ["include"] for one in line[1:]]
    built_in = {"MANIFEST.in", "pyproject.toml", "setup.py"}
    missing = [
        path
        for path in files()
        if path.partition("/")[0] not in grafted
        and not ("/" not in path and any(Path(path).match(one) for one in patterns))
        and path not in built_in
    ]
    assert missing == []


def test_addresses_of_the_project_are_in_one_place() -> None:
    """A publisher writes them into pyproject.toml; the chart repeats some, and the help one."""
    urls = project()["project"]["urls"]
    assert {*urls} == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    allowed = {"pyproject.toml", "tests/tidy/test_release.py", "charts/cleancut/Chart.yaml"}
    allowed |= {"cleancut/cli/examples.py", "docs/reference/cli.md"}
    text = (".md", ".py", ".toml", ".yaml", ".yml", ".tpl")
    named = {path for path in files() if path.endswith(text) and PLACEHOLDER in text_of(path)}
    assert named <= allowed


def test_links_of_the_packages_page_are_whole() -> None:
    """A package index shows README.md without the tree around it."""
    setup = runpy.run_path(str(ROOT / "setup.py"), run_name="looked_at")
    page, source = setup["page"](), project()["project"]["urls"]["Source"]
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert f"{source}/blob/v" in page
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_every_version_of_python_that_is_named_is_allowed() -> None:
    found = project()["project"]
    minors = re.findall(r"Python :: (3\.\d+)", "\n".join(found["classifiers"]))
    assert minors == ["3.11", "3.12", "3.13"]
    assert found["requires-python"] == f">={minors[0]}"


def test_the_notice_names_what_images_contain() -> None:
    """`make docs` was run after the last change of tools/constraints.txt."""
    assert re.findall(r"^- ([\w.-]+): \S", text_of("NOTICE"), re.MULTILINE) == sorted(pinned())


def test_pins_of_images_have_hashes() -> None:
    """pip installs no package with another content then, and no package without a pin."""
    text = text_of("tools/constraints.txt")
    pins = re.findall(r"^[\w.-]+==\S+.*$", text, re.MULTILINE)
    assert len(pins) > 30
    assert [line for line in pins if not line.endswith("\\")] == []
    assert text.count("--hash=sha256:") > len(pins)


def test_workflows_call_targets_that_there_are() -> None:
    """They hold no logic of their own: what a release does can be run by hand."""
    flows = [path for path in files() if path.startswith(".github/workflows/")]
    called = {
        target
        for path in flows
        for words in re.findall(r"run: make ([a-z -]+)", text_of(path))
        for target in words.split()
    }
    known = set(re.findall(r"^([a-z -]+):", text_of("Makefile"), re.MULTILINE))
    assert called >= {"test", "release-check", "publish-images"}
    assert called <= {target for line in known for target in line.split()}


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (
            "images",
            {"REGISTRY": "registry.example.com/x", "PYTHON_IMAGE": "python@sha256:1"},
            ["linux/amd64,linux/arm64", "--sbom=true", "cosign sign --yes", "cleancut-agent:"],
        ),
        ("chart", {"CHART_REGISTRY": "oci://registry.example.com/x"}, ["helm push build/chart"]),
        ("packages", {}, ["publish --trusted-publishing"]),
    ],
)
def test_publishing_says_what_it_would_do(
    kind: str, settings: dict[str, str], said: list[str]
) -> None:
    ran = _publish(kind, DRY_RUN="1", **settings)
    assert ran.returncode == 0, ran.stderr
    assert [text for text in (*said, __version__) if text not in ran.stdout] == []


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("images", {"PYTHON_IMAGE": "python@sha256:1"}),
        ("images", {"REGISTRY": "registry.example.com/x", "PYTHON_IMAGE": "python:3.13-slim"}),
        ("chart", {}),
        ("", {}),
    ],
)
def test_publishing_refuses_what_is_not_pinned_or_named(
    kind: str, settings: dict[str, str]
) -> None:
    """A base image without a digest is another one tomorrow."""
    ran = _publish(kind, DRY_RUN="1", **settings)
    assert ran.returncode != 0
    assert "docker" not in ran.stdout


def _publish(kind: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "tools/publish.sh", *([kind] if kind else [])]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **env},
    )


def test_every_program_and_command_has_a_man_page() -> None:
    made = pages()
    assert {"cleancut.1", "cleancut-agent.1", "cleancut-backup-create.1"} <= {*made}
    for name, text in made.items():
        assert text.startswith(".TH "), name
        assert ".SH OPTIONS" in text, name
        control = re.compile(r"\.(?:TH|SH|TP|PP|B|BR|nf|fi)\b|[^.']|$")
        assert [line for line in text.splitlines() if not control.match(line)] == [], name


def test_the_chart_names_the_addresses_of_the_project() -> None:
    urls = project()["project"]["urls"]
    chart = yaml.safe_load(text_of("charts/cleancut/Chart.yaml"))
    assert (chart["home"], chart["sources"]) == (urls["Homepage"], [urls["Source"]])
    links = yaml.safe_load(chart["annotations"]["artifacthub.io/links"])
    assert {one["url"] for one in links} == {urls["Documentation"], urls["Issues"]}
    images = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert {one["image"].rpartition(":")[2] for one in images} == {__version__}
