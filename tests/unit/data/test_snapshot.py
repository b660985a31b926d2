"""`backup extract --as-snapshot`: one tar with all shards, as Qdrant's own collection snapshot."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.capture.member_header import UNIT, MemberFacts, member_header, renamed
from tests.support.capturing import recorded
from tests.support.recorded_backups import DOCS, RecordedStore, recorded_info


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    found = RecordedStore(tmp_path)
    found.publish_recorded(1, "t0")
    return found


def contents(tar: bytes) -> dict[str, bytes | None]:
    """Every member as a program that unpacks it sees it, holes filled; None for a directory."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = {}
        for one in archive:
            file = archive.extractfile(one)
            found[one.name] = None if file is None else file.read()
        return found


def test_members_of_all_shards_are_below_their_numbers(
    store: RecordedStore, tmp_path: Path
) -> None:
    out = tmp_path / "docs.snapshot"
    verb = ["backup", "extract", "1", "-c", DOCS, "--as-snapshot", "--out", str(out)]
    assert run([*store.flags, *verb]) == Exit.OK
    found = contents(out.read_bytes())
    for shard in (0, 1):
        for name, data in contents(recorded(f"t0-shard{shard}")).items():
            assert found.pop(f"{shard}/{name}") == data
    assert sorted(found) == [
        "config.json",
        "payload_index.json",
        "shard_key_mapping.json",
        "version.info",
    ]
    config = json.loads(found["config.json"] or b"")
    assert config["params"]["shard_number"] == 2
    assert config["params"]["replication_factor"] == 1
    assert json.loads(found["payload_index.json"] or b"") == {"schema": {"tag": "keyword"}}


@pytest.mark.parametrize("old", ["short", "x" * 100, "y" * 101, "long/" * 60 + "name"])
@pytest.mark.parametrize("new", ["0/short", "1/" + "x" * 98, "1/" + "z" * 99, "ä" * 90])
@pytest.mark.parametrize("extents", [None, tuple((4096 * at, 512) for at in range(30))])
def test_a_member_under_another_name_is_the_same_member(
    old: str, new: str, extents: tuple[tuple[int, int], ...] | None
) -> None:
    facts = MemberFacts(old, 0o640, 7, 8, 1234567890, 200_000, extents)
    body = bytes(range(256)) * (facts.stored_bytes // 256 + 1)
    stored = body[: facts.stored_bytes] + bytes(-facts.stored_bytes % UNIT)
    header, end = member_header(facts), bytes(2 * UNIT)
    (before,) = contents(header + stored + end).values()
    assert contents(renamed(header, new) + stored + end) == {new: before}


def test_either_a_shard_or_the_snapshot(
    store: RecordedStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = [*store.flags, "backup", "extract", "1", "-c", DOCS, "--out", str(tmp_path / "out")]
    assert run(verb) == Exit.USAGE
    assert run([*verb, "--shard", "0", "--as-snapshot"]) == Exit.USAGE
    assert "either --shard or --as-snapshot" in capsys.readouterr().err


def test_each_shard_is_in_the_file_of_one_peer(
    store: RecordedStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "docs.snapshot"
    verb = [*store.flags, "-o", "json", "backup", "extract", "1", "-c", DOCS, "--out", str(out)]
    assert run([*verb, "--as-snapshot", "--peers", "2"]) == Exit.OK
    written = json.loads(capsys.readouterr().out)["extracted"]
    assert [one["shards"] for one in written] == ["0", "1"]
    for number, one in enumerate(written, 1):
        file = tmp_path / f"docs-{number}.snapshot"
        assert one["file"] == str(file)
        assert one["size_bytes"] == file.stat().st_size
        assert f"http://PEER-{number}:6333/" in one["command"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() in one["command"]
        found = contents(file.read_bytes())
        with_data = {name.partition("/")[0] for name in found if "/segments/" in name}
        assert with_data == {one["shards"]}
        (other,) = {"0", "1"} - with_data
        state = json.loads(found[f"{other}/replica_state.json"] or b"")
        assert not state["is_local"]
        assert f"{other}/shard_config.json" in found
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        (["--shard", "0", "--peers", "2"], Exit.USAGE, "--peers is for --as-snapshot"),
        (["--as-snapshot", "--peers", "3"], Exit.USAGE, "more than the 2 shards of 'docs'"),
    ],
)
def test_files_for_peers_that_cannot_be(
    store: RecordedStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: Exit,
    reason: str,
) -> None:
    out = tmp_path / "out"
    verb = [*store.flags, "backup", "extract", "1", "-c", DOCS, "--out", str(out), *more]
    assert run(verb) == code
    assert reason in capsys.readouterr().err
    assert sorted(tmp_path.glob("out*")) == []


def test_a_collection_with_shard_keys_has_no_files_for_peers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Qdrant's API would answer 200, and have no point."""
    store = RecordedStore(tmp_path)
    tars = {at: recorded(f"t0-shard{at}") for at in (0, 1)}
    store.publish(1, tars, recorded_info(), keys=[("a", (0,)), ("b", (1,))])
    verb = [*store.flags, "backup", "extract", "1", "-c", DOCS, "--out", str(tmp_path / "out")]
    assert run([*verb, "--as-snapshot", "--peers", "2"]) == Exit.REFUSED
    assert "has shard keys" in capsys.readouterr().err
