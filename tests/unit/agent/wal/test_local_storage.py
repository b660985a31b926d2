"""Facts about a peer's data directory, as it lies on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.framing import header
from cleancut.core.wal.gate import wal_gate
from cleancut_agent.wal.local_storage import LocalWalStorage, file_system_of


def made(path: Path) -> LocalWalStorage:
    wal = path / "collections" / "c" / "0" / "wal"
    wal.mkdir(parents=True)
    (wal / "open-1").write_bytes(header(7) + bytes(64))
    (wal / "first-index").write_bytes(b"{}")
    (path / "collections" / "c" / "config.json").write_bytes(b"{}")
    (path / "raft_state.json").write_bytes(b'{"this_peer_id": 7, "state": {}}')
    return LocalWalStorage(path)


def test_the_logs_of_a_data_directory_are_found(tmp_path: Path) -> None:
    storage = made(tmp_path)
    facts = storage.facts()
    assert (facts.problem, facts.peer_id, facts.shards) == ("", PeerId(7), 1)
    assert facts.heads == (header(7),)
    assert facts.file_system == file_system_of(tmp_path) != ""
    directory = storage.open("c", 0)
    assert "open-1" in directory.list()
    directory.close()
    with pytest.raises(NotFound):
        storage.open("c", 1)


def test_what_is_no_data_directory_is_said(tmp_path: Path) -> None:
    assert "No such file" in LocalWalStorage(tmp_path / "nowhere").facts().problem
    assert "No such file" in LocalWalStorage(tmp_path).facts().problem
    (tmp_path / "collections" / "c" / "0").mkdir(parents=True)
    assert LocalWalStorage(tmp_path).facts().without_log.endswith("c/0")


def test_an_empty_peer_has_nothing_against_it(tmp_path: Path) -> None:
    """But its directory says whose it is, from the first start on."""
    (tmp_path / "collections").mkdir()
    assert "whose it is" in wal_gate(LocalWalStorage(tmp_path).facts(), "1.18.3", PeerId(7))
    (tmp_path / "raft_state.json").write_bytes(b'{"this_peer_id": 7, "state": {}}')
    facts = LocalWalStorage(tmp_path).facts()
    assert facts.file_system
    if facts.file_system == "ext4":
        assert wal_gate(facts, "1.18.3", PeerId(7)) == ""
