"""Prints what an image has to install, from pyproject.toml alone.

Usage: requirements.py [--without NAME]... [--extra NAME]...   requirements, one a line
       requirements.py --pins                                 what is installed here, as constraints
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def name_of(requirement: str) -> str:
    """A requirement's package, in one spelling."""
    found = _NAME.match(requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def requirements(without: set[str], extras: list[str]) -> list[str]:
    """Sorted. Raises: SystemExit, for a name that is not a dependency."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    needed = list(project["dependencies"])
    for extra in extras:
        needed += project["optional-dependencies"][extra]
    unknown = without - {name_of(one) for one in needed}
    if unknown:
        sys.exit(f"requirements: no dependency: {sorted(unknown)}")
    return sorted({one for one in needed if name_of(one) not in without})


def pins() -> list[str]:
    """`name==version` of all that images have (`requirements` and extras), as installed here."""
    waiting = [
        name_of(one) for one in requirements(set(), ["azure", "data", "drill", "gcs", "operator"])
    ]
    seen: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform, or an extra that was not requested
        if name in seen:
            continue
        seen[name] = found.version
        waiting += [name_of(one) for one in found.requires or () if "extra ==" not in one]
    return [f"{name}=={seen[name]}" for name in sorted(seen)]


def pinned() -> dict[str, str]:
    """Name and version of each pin in constraints.txt."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return dict(line.rstrip("\\ ").split("==") for line in lines if line[:1].isalnum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--pins", action="store_true")
    given = parser.parse_args()
    lines = pins() if given.pins else requirements(set(given.without), given.extra)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
