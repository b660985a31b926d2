"""Files of other projects in the package are those that their manifest names, unchanged."""

from __future__ import annotations

import hashlib
import tomllib

from tests.tidy.tree import ROOT, text_of

STATIC = ROOT / "cleancut/page/static"
OWN = {"page.css", "page.js", "growth.js", "icon.svg", "VENDORED.toml", "LICENSES.txt"}
ENTRIES = tomllib.loads((STATIC / "VENDORED.toml").read_text(encoding="utf-8"))["file"]


def test_each_file_is_the_one_that_the_manifest_names() -> None:
    found = {
        one["name"]: hashlib.sha256((STATIC / one["name"]).read_bytes()).hexdigest()
        for one in ENTRIES
    }
    assert found == {one["name"]: one["sha256"] for one in ENTRIES}


def test_nothing_else_of_another_project_lies_there() -> None:
    assert {path.name for path in STATIC.iterdir()} - {one["name"] for one in ENTRIES} <= OWN


def test_notice_and_licences_name_each_of_them() -> None:
    notice, licences = text_of("NOTICE"), (STATIC / "LICENSES.txt").read_text(encoding="utf-8")
    for one in ENTRIES:
        assert f"{one['name']} of {one['package']} {one['version']} ({one['licence']})" in notice
        assert f"({one['package']})" in licences


def test_pages_load_nothing_from_elsewhere() -> None:
    """No address of another host in a template, a style sheet or a script of ours."""
    own = [
        *(ROOT / "cleancut/page/templates").glob("*.html"),
        STATIC / "page.css",
        STATIC / "page.js",
    ]
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert " style=" not in text, path
        assert " onclick=" not in text, path
