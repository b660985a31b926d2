"""Facts about mounts, the kernel and the boot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cleancut.core.capture.gate import CaptureFacts, MountFacts, capture_gate
from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.gate import WalFacts
from cleancut_agent.capture.mounts import capture_facts, circumstances, mount_of
from cleancut_agent.capture.write_back import write_back_problem
from cleancut_agent.wal.local_storage import file_system_of


def mount(path: Path) -> MountFacts:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return mount_of(handle)
    finally:
        os.close(handle)


def test_a_directory_is_on_the_mount_that_the_kernel_names(tmp_path: Path) -> None:
    found = mount(tmp_path)
    assert found.file_system == file_system_of(tmp_path)
    assert found.device == tmp_path.stat().st_dev
    assert found.mount_id >= 0
    assert {"rw", "ro"} & set(found.options)
    assert mount(Path("/proc")).file_system == "proc"
    assert mount(Path("/proc")).mount_id != found.mount_id


def test_facts_open_the_gate_of_a_peer_on_this_disk(tmp_path: Path) -> None:
    (tmp_path / "collections" / "c" / "0").mkdir(parents=True)
    (tmp_path / "collections" / "c" / "0" / "x").write_bytes(b"x")
    seen = WalFacts(storage=str(tmp_path), file_system=file_system_of(tmp_path), peer_id=PeerId(7))
    facts = capture_facts(tmp_path, seen)
    assert facts.write_back == ""
    assert facts.kernel == os.uname().release
    if facts.mount.file_system in {"ext4", "xfs", "btrfs"}:
        assert capture_gate(facts, "1.18.3", PeerId(7)) == ""
    else:
        assert facts.mount.file_system in capture_gate(facts, "1.18.3", PeerId(7))


def test_facts_of_what_cannot_be_read_close_it(tmp_path: Path) -> None:
    facts = capture_facts(tmp_path / "nowhere", WalFacts(storage="/x", problem="No such file"))
    assert facts == CaptureFacts(
        WalFacts(storage="/x", problem="No such file"), kernel=facts.kernel
    )
    assert "No such file" in capture_gate(facts, "1.18.3", PeerId(7))


def test_where_no_file_can_be_written_back_it_is_said(tmp_path: Path) -> None:
    def refused(handle: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    assert write_back_problem(tmp_path, refused) == ""
    (tmp_path / "x").write_bytes(b"x")
    assert write_back_problem(tmp_path, refused) == "Function not implemented"
    assert write_back_problem(tmp_path) == ""


def test_circumstances_are_of_this_boot(tmp_path: Path) -> None:
    found = circumstances(mount(tmp_path), "start", 7)
    assert found.known
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (found.device, found.now_ns) == (tmp_path.stat().st_dev, 7)
