"""`backup repair`: by a coordinator from a named store, or from store to store by the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run as run_here
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run
from tests.unit.cli.commands.test_backup_copy import group, output  # noqa: F401
from tests.unit.cli.test_offline import Output
from tests.unit.cli.test_verification import Group

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)


@pytest.mark.slow
def test_a_coordinator_takes_names_of_stores_only() -> None:
    async def scenario() -> None:
        operations = MemoryApi()
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            made = await cleancut("backup", "create", "-o", "json", **env)
            name = json.loads(made.out)["backup"]["id"]
            words = ("backup", "repair", name, "-o", "json", "--from")
            done = await cleancut(*words, "second", **env)
            assert done.code == Exit.OK
            assert json.loads(done.out)["repair"]["source"] == "file:///second"
            refused = await cleancut(*words, "file:///second", **env)
            assert refused.code == Exit.NOT_FOUND
            assert "configured: second" in refused.err

    run(scenario())


def test_a_copy_repairs_its_source_and_the_source_its_copy(
    group: Group,  # noqa: F811
    tmp_path: Path,
    output: Output,  # noqa: F811
) -> None:
    first, second = f"file://{group.root}", f"file://{tmp_path}/second"
    copy = ["--store", first, "backup", "copy", "7", "--to", second, "--quick"]
    assert run_here(copy) == Exit.OK
    for site, other, root in (
        (first, second, group.root),
        (second, first, tmp_path / "second"),
    ):
        shutil.rmtree(root / "prod" / "packs")
        output.err()
        words = ["--store", site, "backup", "repair", "7", "--from", other, "-o", "json"]
        assert run_here(words) == Exit.OK
        done = output.json()["repair"]
        assert [path.split("/")[0] for path in done["repaired"]] == ["packs"]
        assert run_here(["--store", site, "backup", "verify", "7"]) == Exit.OK
        output.err()
