"""Release check: all that can be checked of a release without a registry, in one table.

Usage: python -m tools.release_check [--final] [--lowest]

It builds wheel and source distribution into build/release, looks inside, installs the wheel into a
fresh environment and runs every program of it. `--final`: a placeholder or an unreleased changelog
is an error too. `--lowest`: the unit tests also run with the lowest versions that pyproject.toml
allows, which takes minutes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cleancut import __version__
from tools.gen_man import pages
from tools.gen_notice import notice

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "release"
PLACEHOLDER = ".example"
LIMIT_S = 900
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
TESTING = ("hypothesis", "pytest")
"""Packages of the dev extra that unit tests need."""


class Failed(Exception):
    """A check found something; the text says what."""


class Check(NamedTuple):
    """One line of the table. Its function returns what to show."""

    name: str
    run: Callable[[], str]


def ran(*command: str | Path, cwd: Path = ROOT) -> str:
    """stdout. Raises: Failed, with the end of what the command said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise Failed("\n".join([f"{command[0]} ended with {done.returncode}", *said]))
    return done.stdout


def python(*arguments: str | Path) -> str:
    return ran(sys.executable, *arguments)


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def built(pattern: str) -> Path:
    """Raises: Failed, unless there is exactly one."""
    found = sorted(OUT.glob(pattern))
    if len(found) != 1:
        raise Failed(f"{pattern}: {len(found)} in {OUT}, expected 1")
    return found[0]


def tracked() -> set[str]:
    """Files of the tree, as git has them."""
    return set(ran("git", "ls-files").splitlines())


def build() -> str:
    """Both distributions; the wheel is built from the source distribution, as by its users."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    python("-m", "build", "--outdir", OUT, ROOT)
    sizes = [f"{path.name} {path.stat().st_size // 1024} KiB" for path in sorted(OUT.iterdir())]
    return ", ".join(sizes)


def wheel() -> str:
    """Modules, stubs, types and data of this project, and nothing else."""
    names = zipfile.ZipFile(built("*.whl")).namelist()
    tops = {name.partition("/")[0] for name in names}
    foreign = sorted(top for top in tops if not top.startswith("cleancut"))
    if foreign:
        raise Failed(f"top-level names of other packages: {foreign}")
    folders = (
        "",
        *(f"{name}/" for name in ("agent", "coordinator", "devcluster", "operator", "solo")),
    )
    wanted = {
        path.removeprefix(folder)
        for path in tracked()
        for folder in folders
        if path.startswith(f"{folder}cleancut")
    }
    missing = sorted(wanted - set(names))
    surplus = sorted(name for name in set(names) - wanted if ".dist-info/" not in name)
    if missing or surplus:
        raise Failed(f"missing: {missing[:5]}, not in the tree: {surplus[:5]}")
    stubs = sum(name.endswith(".pyi") for name in names)
    return f"{len(names)} files, of them {stubs} stubs, under {', '.join(sorted(tops))}"


def sdist() -> str:
    """All that git has."""
    with tarfile.open(built("*.tar.gz")) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        found = {member.name.partition("/")[2] for member in file if member.isfile()}
    missing = sorted(tracked() - names)
    if missing:
        raise Failed(f"{len(missing)} missing, such as {missing[:5]}")
    made = sorted(found - tracked())
    return f"{len(found)} files, all {len(tracked())} of the tree, made: {len(made)}"


def metadata() -> str:
    """What an index would refuse or show wrongly."""
    python("-m", "twine", "--no-color", "check", "--strict", *sorted(OUT.iterdir()))
    with zipfile.ZipFile(built("*.whl")) as file:
        (name,) = [one for one in file.namelist() if one.endswith(".dist-info/METADATA")]
        found = Parser().parsestr(file.read(name).decode())
    if found["Version"] != __version__ or not found.get_all("License-File"):
        raise Failed(f"version {found['Version']}, licences {found.get_all('License-File')}")
    relative = re.findall(r"\]\((?!https:|#)([^)]*)\)", str(found.get_payload()))
    if relative:
        raise Failed(f"relative links on the package's page: {relative[:3]}")
    return f"{found['Name']} {found['Version']}, Python {found['Requires-Python']}"


def versions() -> str:
    """One version in the package, the chart and the changelog; tests/tidy looks at the rest."""
    chart = yaml.safe_load((ROOT / "charts/cleancut/Chart.yaml").read_text(encoding="utf-8"))
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\S+)", text, re.MULTILINE)[0]
    if {chart["version"], chart["appVersion"]} != {__version__}:
        raise Failed(f"package {__version__}, chart {chart['version']}, {chart['appVersion']}")
    if newest not in ("Unreleased", __version__):
        raise Failed(f"CHANGELOG.md begins with {newest}, the package is {__version__}")
    return f"{__version__} in the package and the chart; CHANGELOG.md begins with {newest}"


def programs() -> str:
    """Every program of the wheel starts in an environment of its own, without its extras."""
    folder = OUT.parent / "installed"
    shutil.rmtree(folder, ignore_errors=True)
    ran(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder)
    to = ("--python", folder / "bin" / "python")
    ran(sys.executable, "-m", "uv", "pip", "install", "--quiet", *to, built("*.whl"))
    names = sorted(project()["scripts"])
    for name in names:
        program = folder / "bin" / name
        if __version__ not in ran(program, "--version", cwd=OUT):
            raise Failed(f"{name} --version does not say {__version__}")
        if "Usage:" not in ran(program, "--help", cwd=OUT):
            raise Failed(f"{name} --help shows no usage")
    if "groups:" not in ran(folder / "bin" / "cleancut", "alerts", cwd=OUT):
        raise Failed("cleancut alerts prints no rules")
    return f"{', '.join(names)}: --version, --help; cleancut alerts"


def licences() -> str:
    """NOTICE names what is installed, with its licences."""
    if (ROOT / "NOTICE").read_text(encoding="utf-8") != notice():
        raise Failed("NOTICE is not up to date: run `make docs`")
    return f"{notice().count(chr(10) + '- ')} packages in NOTICE"


def workflows() -> str:
    """By GitHub's schema, then by a linter of security."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    python("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    linter = Path(sys.executable).with_name("zizmor")
    ran(linter, "--offline", "--no-progress", "--quiet", *files)
    names = ", ".join(file.name for file in files)
    if not shutil.which("go"):
        return f"{names}: schema, zizmor; not by actionlint, which needs Go"
    ran("go", "run", ACTIONLINT, *files)
    return f"{names}: schema, zizmor, actionlint"


def man() -> str:
    """The manual, one page a program and a command, packed for packagers."""
    folder = OUT / "man" / "man1"
    folder.mkdir(parents=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return f"{len(list(folder.iterdir()))} pages in {folder.relative_to(ROOT)}"


def hashes() -> str:
    """Images install nothing that is not pinned by a hash, and what they install resolves."""
    lines = (ROOT / "tools/constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line[:1].isalnum()]
    bare = [line for line in pins if not line.endswith("\\")]
    if bare:
        raise Failed(f"without a hash: {bare[:3]}")
    return f"{len(pins)} pins, each with hashes"


def lowest() -> str:
    """The unit tests with the lowest versions that pyproject.toml allows."""
    folder = OUT.parent / "lowest"
    shutil.rmtree(folder, ignore_errors=True)
    uv = (sys.executable, "-m", "uv")
    ran(*uv, "venv", "--quiet", "--python", sys.executable, folder)
    pins = folder / "lowest.txt"
    lowest = ("--resolution", "lowest-direct", "--extra", "data", "--output-file", pins)
    ran(
        *uv,
        "pip",
        "compile",
        "--quiet",
        "--python",
        folder / "bin" / "python",
        *lowest,
        "pyproject.toml",
    )
    into = ("pip", "install", "--quiet", "--python", folder / "bin" / "python")
    ran(*uv, *into, "-r", pins)
    ran(*uv, *into, "--no-deps", "--editable", ".")  # tests start programs of their own
    tools = [one for one in project()["optional-dependencies"]["dev"] if one.startswith(TESTING)]
    ran(*uv, *into, "--constraints", pins, *tools)
    out = ran(folder / "bin" / "python", "-m", "pytest", "-q", "-m", "not slow", "tests/unit")
    return out.strip().splitlines()[-1]


def placeholders() -> Iterator[str]:
    """What is still to be decided before a first release."""
    for name, url in project()["urls"].items():
        if PLACEHOLDER in url:
            yield f"{name} = {url} in pyproject.toml is a placeholder"
    if "\n## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md has a section Unreleased; name it {__version__} with its date"


CHECKS = (
    Check("build", build),
    Check("wheel", wheel),
    Check("source", sdist),
    Check("metadata", metadata),
    Check("versions", versions),
    Check("programs", programs),
    Check("licences", licences),
    Check("workflows", workflows),
    Check("man pages", man),
    Check("pins", hashes),
)


def main() -> int:
    """Exit code: 0 if all is well, 1 if a check failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--final", action="store_true")
    parser.add_argument("--lowest", action="store_true")
    given = parser.parse_args()
    failed = 0
    for check in (*CHECKS, *([Check("lowest", lowest)] if given.lowest else [])):
        try:
            state, text = "ok", check.run()
        except (Failed, subprocess.TimeoutExpired) as error:
            state, text = "FAILED", str(error)
            failed += 1
        sys.stdout.write(f"{state:6}  {check.name:10}  {text}\n")
        sys.stdout.flush()
    for text in placeholders():
        failed += given.final
        sys.stdout.write(f"{'FAILED' if given.final else 'open':6}  {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
