"""`backup copy`: from store to store by the command line, without a coordinator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.codec import encode
from cleancut.core.protocol.etcd_records import Owner
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from tests.support.capturing import PATHS
from tests.unit.cli.test_offline import Output
from tests.unit.cli.test_verification import Group


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return Output(capsys)


@pytest.fixture
def group(tmp_path: Path) -> Group:
    made = Group(tmp_path)
    store = open_store(f"file://{made.root}", SystemClock())

    async def begin() -> None:
        await store.put(PATHS.format, encode_format())
        await store.put(PATHS.owner(1), encode(Owner(cluster_id="c" * 32)))

    asyncio.run(begin())
    return made


def test_a_copy_is_shown_listed_and_verified_by_its_own_url(
    group: Group, tmp_path: Path, output: Output
) -> None:
    url = f"file://{tmp_path}/second"
    source = ["--store", f"file://{group.root}"]
    assert run([*source, "backup", "copy", "latest", "--to", url, "-o", "json"]) == Exit.OK
    done = output.json()["copy"]
    assert (done["backups"][0]["state"], done["backups"][0]["verified"]) == ("copied", "all")
    assert run(["--store", url, "backup", "list", "-o", "json"]) == Exit.OK
    assert [one["epoch"] for one in output.json()["backups"]] == [7]
    assert run(["--store", url, "backup", "verify", "7"]) == Exit.OK
    assert run([*source, "backup", "copy", "--new", "--to", url]) == Exit.OK
    assert run([*source, "backup", "copy", "--new", "--to", url, "-o", "json"]) == Exit.OK


def test_damage_has_its_exit_code(group: Group, tmp_path: Path, output: Output) -> None:
    pack = group.one("packs")
    data = bytearray(pack.read_bytes())
    data[200] ^= 1
    pack.write_bytes(data)
    url = f"file://{tmp_path}/second"
    source = ["--store", f"file://{group.root}"]
    assert run([*source, "backup", "copy", "7", "--to", url]) == Exit.CORRUPT
    assert pack.name in output.err()
    assert not list((tmp_path / "second").glob("prod/groups/*"))


@pytest.mark.parametrize(
    "words", [["--to", "file:///x"], ["7", "--new", "--to", "file:///x"], ["7", "--all"]]
)
def test_unclear_requests_are_refused(words: list[str], group: Group, output: Output) -> None:
    assert run(["--store", f"file://{group.root}", "backup", "copy", *words]) == Exit.USAGE
    assert output.err()


def test_a_copy_onto_itself_is_refused(group: Group, output: Output) -> None:
    url = f"file://{group.root}"
    assert run(["--store", url, "backup", "copy", "7", "--to", url]) == Exit.REFUSED
    assert "source itself" in output.err()
