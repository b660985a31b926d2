"""Mounts, the kernel and the boot, as this process sees them: facts for the gate of direct capture
and for evidence."""

from __future__ import annotations

import os
from pathlib import Path

from cleancut.core.capture.evidence import Circumstances
from cleancut.core.capture.gate import CaptureFacts, MountFacts
from cleancut.core.wal.gate import WalFacts
from cleancut_agent.capture.write_back import write_back_problem

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def mount_of(handle: int) -> MountFacts:
    """The mount that an open directory lies on; what the kernel does not say is unknown."""
    device = os.fstat(handle).st_dev
    try:
        about = Path(f"/proc/self/fdinfo/{handle}").read_text()
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return MountFacts(device)
    ids = [line.split()[1] for line in about.splitlines() if line.startswith("mnt_id:")]
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        fields, of_system = mount.split(), rest.split()
        if fields[0] in ids and len(of_system) >= 3:
            options = (*fields[5].split(","), *of_system[2].split(","))
            return MountFacts(device, int(fields[0]), of_system[0], options)
    return MountFacts(device)


def capture_facts(storage: Path, seen: WalFacts) -> CaptureFacts:
    """What stands for or against direct capture; never an error. `seen`: what is known of the data
    directory already."""
    kernel = os.uname().release
    try:
        handle = os.open(storage / "collections", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return CaptureFacts(seen, kernel=kernel)
    try:
        return CaptureFacts(seen, mount_of(handle), kernel, write_back_problem(storage))
    finally:
        os.close(handle)


def circumstances(mount: MountFacts, startup: str, now_ns: int) -> Circumstances:
    """What evidence that is recorded now belongs to. `startup`: of the local peer."""
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = ""
    return Circumstances(boot_id, mount.device, mount.mount_id, startup, now_ns)
