"""Generator of NOTICE: whose work cleancut is, and what its images contain besides, with licences.

The packages are those of tools/constraints.txt; licences are read from what is installed.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from tools.requirements import pinned

_VENDORED = Path(__file__).resolve().parents[1] / "cleancut/page/static/VENDORED.toml"

_HEAD = """cleancut
Copyright 2026 The cleancut maintainers

Licensed under the Apache License, Version 2.0; see LICENSE.

The definitions of etcd's API in proto/etcd are written after those of etcd (Apache-2.0). cleancut
contains no code of Qdrant; it talks to it by its REST API.

The status page loads these files of other projects, whose licences are in
cleancut/page/static/LICENSES.txt:

{vendored}

The container images contain these Python packages, each under its own licence, whose text lies in
the image next to the package. Written by `make docs` from tools/constraints.txt.

"""
_SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "dual license": "Apache-2.0 OR BSD-3-Clause",
}
_CLASSIFIER = "License :: OSI Approved :: "


def licence_of(found: Distribution) -> str:
    """As SPDX writes it, as far as the package says it. Raises: SystemExit if it says nothing."""
    metadata = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    given = str(metadata.get("License") or "")
    if not given or "\n" in given or len(given) > 60:
        classes = [c for c in metadata.get_all("Classifier") or () if c.startswith(_CLASSIFIER)]
        given = " AND ".join(sorted(c.removeprefix(_CLASSIFIER) for c in classes))
    if not given:
        sys.exit(f"gen_notice: {metadata['Name']} names no licence")
    return _SPELLINGS.get(given.lower(), given)


def vendored() -> str:
    """A line for each file of another project."""
    files = tomllib.loads(_VENDORED.read_text(encoding="utf-8"))["file"]
    return "\n".join(
        f"- {one['name']} of {one['package']} {one['version']} ({one['licence']})" for one in files
    )


def notice() -> str:
    """The whole file. Raises: PackageNotFoundError, for a pin that is not installed."""
    rows = [f"- {name}: {licence_of(distribution(name))}" for name in sorted(pinned())]
    return _HEAD.format(vendored=vendored()) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(notice())
