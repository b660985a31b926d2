"""An encrypted store: everything works as without, and whoever has only the store has nothing."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

FILE = "CLEANCUT_STORE_KEY_FILE"
SPOKEN = [COLLECTION, ALIAS, "politics", "replica_state", "segments", "vectors", "payload", "quiet"]


def make_key(file: Path) -> Path:
    file.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return file


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store key that all processes are told of."""
    file = make_key(tmp_path_factory.mktemp("keys") / "key")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FILE, str(file))
        yield file


@pytest.fixture(scope="module")
def world(launch_module: Launch, key: Path) -> World:
    """Two peers, and two groups of their data."""
    one = launch_module(peers=2, coordinators=1)
    one.fill()
    one.back_up()
    one.change(0.1)
    one.back_up()
    return one


def objects(world: World) -> list[Path]:
    """All but what may be read without the key."""
    files = [file for file in (world.store / "demo").rglob("*") if file.is_file()]
    return [one for one in files if one.name != "format.json" and one.parent.name != "keys"]


def test_the_store_alone_tells_nothing(world: World) -> None:
    """No name, no setting, no word of the contents stands in any object or path."""
    found = objects(world)
    assert len(found) > 20
    for file in found:
        data = file.read_bytes()
        assert data.startswith(b"CLEANENC"), file
        spoken = [word for word in SPOKEN if word.encode() in data or word in str(file.name)]
        assert spoken == [], file


def test_all_of_it_verifies_opens_and_dedups(world: World, tmp_path: Path) -> None:
    newest, oldest = world.groups()
    world.offline("backup", "verify", newest, "--read-data", "100").check()
    drill = world.offline("backup", "drill", newest).value("drill")
    assert drill["sample_queries"] == drill["sample_queries_equal"] > 0
    shard = ("--collection", COLLECTION, "--shard", "0", "--out", str(tmp_path / "0.tar"))
    world.offline("backup", "extract", oldest, *shard).check()
    second = world.back_up()
    assert second["bytes"]["new"] == 0


def test_who_has_another_key_or_none_reads_nothing(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 8, which key is needed, and how to give it."""
    other = make_key(tmp_path / "other")
    refused(world.offline("backup", "list", "--store-key-file", str(other)), 8, "takes one of")
    monkeypatch.delenv(FILE)
    refused(world.offline("backup", "list"), 8, "is encrypted", "--store-key-file")
    monkeypatch.setenv("CLEANCUT_STORE_KEY", key.read_text())
    assert len(world.groups()) >= 2
    monkeypatch.delenv("CLEANCUT_STORE_KEY")
    told = world.offline("backup", "list", "--store-key-command", f"cat {key}")
    assert len(told.value("backups")) >= 2


def test_a_manifest_that_was_changed_is_found(world: World) -> None:
    """Whoever can write to the store cannot make a group say something else."""
    newest = world.groups()[0]
    file = max((world.store / "demo" / "groups").glob("*.json"))
    good = file.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    try:
        file.write_bytes(bad)
        refused(world.offline("backup", "verify", newest), 9, "authentication")
        file.write_bytes(good[:-1])
        refused(world.offline("backup", "verify", newest), 9, "authentication")
    finally:
        file.write_bytes(good)
    world.offline("backup", "verify", newest).check()


def test_keys_change_while_backups_go_on(world: World, key: Path, tmp_path: Path) -> None:
    """Another store key takes over; a new data key comes into use; all groups stay readable."""
    new = make_key(tmp_path / "new")
    both = tmp_path / "both"
    both.write_text(f"{new.read_text()}\n{key.read_text()}\n")
    given = ("--store-key-file", str(both))
    before = world.offline("key", "list").value("keys")
    assert [one["number"] for one in before] == [1]
    [old] = before[0]["opened_by"]
    refused(world.offline("key", "retire", old, "--yes"), 4, "do not open all")
    shared = world.offline("key", "share", *given).value("keys")
    assert [len(one["opened_by"]) for one in shared] == [2]
    rotated = world.offline("key", "rotate", *given).value("keys")
    assert [one["number"] for one in rotated] == [1, 2]
    world.change(0.05)
    world.back_up()
    world.offline("backup", "verify", "latest", "--read-data", "100", "--store-key-file", str(new))
    world.offline("key", "retire", old, "--yes", *given).check()
    refused(world.offline("backup", "list"), 8, "takes one of")
    key.write_text(new.read_text())
    world.offline("backup", "verify", "latest", "--read-data", "100").check()


def test_an_agent_with_another_key_makes_no_backup(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so before anything is cut, and the next one with the right key makes one."""

    async def renew(file: Path) -> None:
        monkeypatch.setenv(FILE, str(file))
        await world.setup.agents[-1].stop()
        await world.setup.start_agent(world.setup.peers[-1].url)
        await world.setup.wait_agents()

    count = len(world.groups())
    world.run(renew(make_key(tmp_path / "other")))
    monkeypatch.setenv(FILE, str(key))
    refused(world.cleancut("backup", "create", "--attempts", "1"), 8, "takes one of")
    assert len(world.groups()) == count
    world.run(renew(key))
    world.back_up()


def test_it_comes_back_on_new_peers(world: World) -> None:
    """Everything is lost but the store and the key."""
    kept = world.answers()
    newest = world.groups()[0]
    world.back_up()
    world.lose_all(2)
    world.ok("restore", "restore", "start", newest, "--yes")
    assert world.answers() == kept
