"""What is generated is what the generators write today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cleancut.cli.render import tables
from tests.tidy.tree import ROOT, files, text_of
from tools import gen_api_reference, gen_schemas
from tools.gen_architecture import PARTS, filled
from tools.gen_daemon_reference import PAGES
from tools.gen_metrics_reference import reference

BUF = Path(sys.executable).with_name("buf")


def ran(command: list[str], folder: Path, **env: str) -> str:
    """stdout of a command that has to succeed; what it says is in the failure."""
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHON": sys.executable, **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_classes_of_proto_are_up_to_date(tmp_path: Path) -> None:
    """`make proto` was run after the last change of a .proto file."""
    ran(["sh", "tools/gen_proto.sh", str(tmp_path)], ROOT)
    made = {
        str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8")
        for path in tmp_path.rglob("*.py*")
    }
    kept = [
        path
        for path in files()
        if path.startswith(("cleancut/v1/", "cleancut/etcd/pb/"))
        and not path.endswith("__init__.py")
    ]
    assert sorted(made) == sorted(kept)
    assert [path for path in kept if made[path] != text_of(path)] == []


def test_every_public_proto_file_is_generated() -> None:
    """The generator names its files; a new one must not be forgotten."""
    protos = [path for path in files() if path.startswith("proto/cleancut/v1/")]
    stems = [Path(path).stem for path in protos]
    assert stems
    assert [stem for stem in stems if f"cleancut/v1/{stem}_pb2.py" not in files()] == []


def test_the_api_keeps_bufs_rules_and_format() -> None:
    ran([str(BUF), "lint"], ROOT / "proto", HOME=str(ROOT))
    ran(
        [str(BUF), "format", "--diff", "--exit-code", "--path", "cleancut"],
        ROOT / "proto",
        HOME=str(ROOT),
    )


def test_the_command_lines_page_is_up_to_date() -> None:
    """`make docs` was run after the last change of a flag."""
    page = ran([sys.executable, "tools/gen_cli_reference.py"], ROOT, PYTHONPATH=str(ROOT))
    assert page == text_of("docs/reference/cli.md")


def test_the_metrics_page_is_up_to_date() -> None:
    """`make docs` was run after the last change of a metric, an alert or the dashboard."""
    assert reference() == text_of("docs/reference/metrics.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_pages_are_up_to_date(page: str) -> None:
    """`make docs` was run after the last change of a daemon's flag or of the settings file."""
    assert PAGES[page]() == text_of(f"docs/reference/{page}")


def test_the_apis_page_is_up_to_date() -> None:
    """`make docs` was run after the last change of a method, its comment or its role."""
    assert gen_api_reference.reference() == text_of("docs/reference/api.md")


def test_architecture_shows_layers_packages_and_machines_as_they_are() -> None:
    """`make docs` was run after the last change of a layer, a package or a transition."""
    for path in PARTS:
        assert path.read_text(encoding="utf-8") == filled(path)


def test_a_package_without_a_line_of_its_own_would_be_seen() -> None:
    """What the table says is the package's docstring, and each package has one."""
    rows = re.findall(r"^\| `([^`]+)/` \| (.*) \|$", text_of("ARCHITECTURE.md"), re.MULTILINE)
    assert len(rows) > 30
    assert [path for path, says in rows if not says] == []


def test_the_schemas_of_outputs_are_up_to_date() -> None:
    """`make docs` was run after the last change of a type of the API."""
    kept = {path for path in files() if path.startswith("docs/reference/schemas/")}
    made = {f"docs/reference/schemas/{name}": text for name, text in gen_schemas.files().items()}
    assert kept == {*made}
    assert [path for path in sorted(kept) if text_of(path) != made[path]] == []


def test_every_output_with_a_type_has_a_schema() -> None:
    """What a table can show is printed as JSON as well."""
    typed = {kind for _, kind in gen_schemas.DOCUMENTS.values()}
    assert [kind.__name__ for kind in tables.ONE if kind not in typed] == []
    assert [noun for noun in tables.MANY if noun not in gen_schemas.DOCUMENTS] == []
