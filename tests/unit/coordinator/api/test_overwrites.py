"""Overwrites as they are asked for."""

from __future__ import annotations

import pytest

from cleancut.api.restores import RestoreOptions
from cleancut.core.primitives.errors import Invalid
from tests.unit.coordinator.api.test_corrupt_backups import Restoring

OVERWRITE = RestoreOptions(collections=("docs",), overwrite=True, confirm="docs")


def test_the_latest_backup_overwrites_nothing() -> None:
    """After a first try, that would be the backup of the very data that is overwritten."""
    world = Restoring()
    for asked in (
        world.restores.plan_restore("latest", OVERWRITE),
        world.restores.start_restore("latest", OVERWRITE, request_id="one", plan_digest=""),
    ):
        with pytest.raises(Invalid, match="latest"):
            world.run(asked)
    assert world.recorded() == []
