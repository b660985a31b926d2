"""A second site: backups are copied, restored from there, and what the first lost is repaired."""

from __future__ import annotations

import shutil
from pathlib import Path

from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch
from tests.e2e.world import refused


def test_a_lost_store_is_restored_from_the_copy_and_repaired(
    launch: Launch, tmp_path: Path
) -> None:
    second = f"file://{tmp_path}/second"
    config = tmp_path / "stores.toml"
    config.write_text(f'[store.second]\nurl = "{second}"\n')
    flags = ("--config", str(config))
    world = launch(peers=1, coordinators=1, secured=Secured(agent=flags, coordinator=flags))
    world.fill(vector_index=False)
    made = world.back_up()
    done = world.offline("backup", "copy", "latest", "--to", second).value("copy")
    assert [(one["state"], one["verified"]) for one in done["backups"]] == [("copied", "all")]
    shutil.rmtree(world.store / "demo" / "packs")
    what = (made["id"], "--rename", f"{COLLECTION}=again", "--yes")
    refused(world.cleancut("restore", "start", *what, "--from", second), 3, "there is no store")
    restored = world.ok("restore", "restore", "start", *what, "--from", "second")
    assert (restored["state"], restored["backup_id"]) == ("DONE", made["id"])
    (back,) = restored["collections"]
    assert (back["counts_equal"], back["schema_equal"]) == (True, True)
    assert not list(tmp_path.rglob("holds/**/*.json"))
    repaired = world.offline("backup", "repair", made["id"], "--from", second).value("repair")
    assert repaired["damaged"] == []
    assert {path.split("/")[0] for path in repaired["repaired"]} == {"packs"}
    assert world.offline("backup", "verify", made["id"]).exit_code == 0
