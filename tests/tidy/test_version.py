"""The version: `cleancut.__version__` is the only source; what cannot import it must agree."""

from __future__ import annotations

import re

import pytest

from cleancut import __version__
from tests.tidy.tree import files, text_of

_IMAGE = re.compile(r"cleancut-(?:agent|coordinator):(\d[\w.]*)")


def test_the_package_takes_its_version_from_the_module() -> None:
    assert 'version = { attr = "cleancut.__version__" }' in text_of("pyproject.toml")
    assert not re.search(r"^version = \"", text_of("pyproject.toml"), re.MULTILINE)


def test_the_chart_has_the_version_of_the_programs_it_installs() -> None:
    found = re.findall(r'^(?:version|appVersion): "?([^"\n]+)"?$', _chart(), re.MULTILINE)
    assert found == [__version__, __version__]


def _chart() -> str:
    return text_of("charts/cleancut/Chart.yaml")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in files()
        if path.startswith(("Dockerfile", "docs/", "charts/", "README"))
        and path.endswith((".md", ".yaml", ".agent", ".coordinator"))
    ],
)
def test_every_image_that_is_named_has_this_version(path: str) -> None:
    assert set(_IMAGE.findall(text_of(path))) <= {__version__}


def test_dockerfiles_hold_no_version_of_their_own() -> None:
    for path in ("Dockerfile.agent", "Dockerfile.coordinator"):
        assert "\nARG VERSION=unknown\n" in text_of(path)
