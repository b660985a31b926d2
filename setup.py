"""Page of the package: README.md with whole links, as a package index shows it without the tree.

All other metadata are in pyproject.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
_RELATIVE = re.compile(r"\]\((?![a-z]+:|#)([^)]+)\)")


def page() -> str:
    """README.md; its relative links lead to the source of this version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = (ROOT / "cleancut" / "__init__.py").read_text(encoding="utf-8")
    version = module.partition('__version__ = "')[2].partition('"')[0]
    tree = f"{project['urls']['Source']}/blob/v{version}"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return _RELATIVE.sub(rf"]({tree}/\1)", text)


if __name__ != "looked_at":  # as a test does
    setup(long_description=page(), long_description_content_type="text/markdown")
