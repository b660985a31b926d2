"""A Qdrant that may not fetch snapshots from URLs takes a restore all the same."""

from __future__ import annotations

import pytest

from cleancut_devcluster.demo.comparison import compare
from cleancut_devcluster.launch.setup import Secured
from tests.e2e.conftest import Launch


@pytest.mark.adversity("recovery from URLs is forbidden")
def test_a_restore_goes_by_upload_where_urls_are_forbidden(launch: Launch) -> None:
    """service.enable_snapshot_url_recovery is false: all peers are lost, everything comes back."""
    world = launch(peers=2, coordinators=1, secured=Secured(url_recovery=False))
    world.fill()
    kept = world.answers()
    backup = world.back_up()["id"]
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", backup, "--yes")
    assert restored["state"] == "DONE"
    assert [one.what for one in compare(kept, world.answers()) if not one.equal] == []
