"""Whether segments of a peer may be captured from the disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cleancut.core.capture.gate import CaptureFacts, MountFacts, capture_gate, mount_gate
from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.gate import WalFacts

MOUNT = MountFacts(device=1, mount_id=30, file_system="ext4", options=("ro", "relatime"))
GOOD = CaptureFacts(
    storage=WalFacts(storage="/qdrant/storage", file_system="ext4", peer_id=PeerId(7), shards=1),
    mount=MOUNT,
    kernel="6.18.0-cloud",
)


def why(facts: CaptureFacts = GOOD, version: str = "1.18.3") -> str:
    return capture_gate(facts, version, PeerId(7))


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("version", ["1.17.1", "1.18.3", "1.19.0"])
def test_the_gate_is_open_where_all_of_it_was_measured(file_system: str, version: str) -> None:
    facts = replace(GOOD, mount=replace(MOUNT, file_system=file_system))
    assert why(facts, version) == ""


@pytest.mark.parametrize(
    "file_system",
    ["overlay", "tmpfs", "fuse.s3fs", "fuse", "virtiofs", "nfs4", "zfs", "ext3", "f2fs", "9p", ""],
)
def test_other_file_systems_are_refused_by_name(file_system: str) -> None:
    reason = why(replace(GOOD, mount=replace(MOUNT, file_system=file_system)))
    assert (file_system or "unknown") in reason


@pytest.mark.parametrize("version", ["1.17.0", "1.16.3", "1.20.0", "2.0.0", ""])
def test_versions_that_were_not_tested_are_refused(version: str) -> None:
    assert "not tested: 1.17.1 to 1.19" in why(version=version)


@pytest.mark.parametrize("option", ["dax", "dax=always", "dax=inode", "data=journal"])
def test_mounts_whose_pages_are_written_back_in_other_ways_are_refused(option: str) -> None:
    assert option in mount_gate(replace(MOUNT, options=("rw", option)))
    assert mount_gate(replace(MOUNT, options=("rw", "dax=never", "data=ordered"))) == ""


def test_unknown_mounts_and_old_kernels_are_refused() -> None:
    assert "identified" in why(replace(GOOD, mount=replace(MOUNT, mount_id=-1)))
    assert "4.18" in why(replace(GOOD, kernel="4.18.0-553.el8"))
    assert "unknown" in why(replace(GOOD, kernel=""))
    assert why(replace(GOOD, kernel="5.4.0")) == ""


def test_storage_that_is_not_seen_or_of_another_peer_is_refused_as_for_logs() -> None:
    assert "--qdrant-storage" in why(replace(GOOD, storage=WalFacts()))
    foreign = replace(GOOD, storage=replace(GOOD.storage, peer_id=PeerId(8)))
    assert "peer 8" in why(foreign)
    unread = replace(GOOD, storage=replace(GOOD.storage, problem="Permission denied"))
    assert "Permission denied" in why(unread)


def test_where_pages_cannot_be_written_back_nothing_is_proven() -> None:
    assert "Operation not permitted" in why(replace(GOOD, write_back="Operation not permitted"))
