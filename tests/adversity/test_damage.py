"""Damage that is known ends with the next backup."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Launch
from tests.e2e.world import World


def _break(world: World, how: str) -> None:
    packs = sorted(one for one in (world.store / "demo" / "packs").rglob("*") if one.is_file())
    for pack in packs:
        if how == "missing":
            pack.unlink()
            continue
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 0xFF
        pack.chmod(0o644)
        pack.write_bytes(data)


@pytest.mark.adversity("a pack is lost or damaged: the next backup heals")
@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_the_next_backup_is_whole_again(launch: Launch, how: str) -> None:
    """The damage is found, shown and passed over; the next backup stores the data again although
    nothing changed, and all of it comes back."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    kept, first = world.answers(), world.back_up()
    _break(world, how)
    assert world.offline("backup", "verify", first["id"]).exit_code == 9
    (shown,) = world.ok("backups", "backup", "list")
    assert shown["state"] == "DAMAGED"
    assert world.cleancut("restore", "plan", first["id"]).exit_code != 0
    second = world.back_up()
    world.offline("backup", "verify", second["id"]).check()
    world.lose_all(2)
    assert world.ok("restore", "restore", "start", "latest", "--yes")["state"] == "DONE"
    assert world.answers() == kept
