"""Snapshots of an etcd member taken while an operation stands in a phase, and the way back to one.

Processes that move the operation on are frozen while a snapshot is taken, so that it shows the
phase that it is kept for.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import Phase
from cleancut.etcd.client import Etcd, open_etcd
from cleancut_devcluster.launch.cli import Answer
from cleancut_devcluster.launch.etcd import etcd_binary
from tests.e2e.world import World
from tests.support.etcd_cluster import EtcdCluster, Member

_BIN = Path(etcd_binary()).parent
_LIMIT_S = 20.0


@dataclass(slots=True)
class Snapshots:
    """What was saved of `etcd` so far, by phase, under `root`."""

    etcd: EtcdCluster
    root: Path
    saved: dict[Phase, Path] = field(default_factory=dict)

    @property
    def _member(self) -> Member:
        return self.etcd.members[0]

    async def save_during(self, world: World, wanted: Sequence[Phase], *arguments: str) -> Answer:
        """Runs the command, and saves each wanted phase that is met and not yet saved."""
        keys = Keys(ClusterName(world.setup.cluster))
        async with open_etcd([self._member.endpoint]) as etcd, asyncio.TaskGroup() as group:
            command = group.create_task(world.setup.cleancut(*arguments))
            while not command.done():
                phase = await _phase(etcd, keys)
                if phase in wanted and phase not in self.saved:
                    await self._save(world, etcd, keys, wanted)
        return command.result()

    async def _save(self, world: World, etcd: Etcd, keys: Keys, wanted: Sequence[Phase]) -> None:
        children = [one.child for one in world.setup.coordinators if one.child.running]
        for child in children:
            child.freeze()
        try:
            phase = await _phase(etcd, keys)
            if phase in wanted and phase not in self.saved:
                path = self.root / f"{phase}.db"
                argv = ["etcdctl", "--endpoints", self._member.endpoint, "snapshot", "save"]
                await asyncio.to_thread(_run, *argv, str(path))
                self.saved[phase] = path
        finally:
            for child in children:
                child.thaw()

    def go_back(self, phase: Phase) -> None:
        """The member restarts from the snapshot of `phase`, in a directory of its own."""
        member, data_dir = self._member, self.root / f"{phase}-{len(list(self.root.iterdir()))}"
        self.etcd.kill(member)
        peer = f"http://127.0.0.1:{member.peer_port}"
        argv = ["snapshot", "restore", str(self.saved[phase]), "--data-dir", str(data_dir)]
        argv += [f"--name={member.name}", f"--initial-cluster={member.name}={peer}"]
        _run("etcdutl", *argv, f"--initial-advertise-peer-urls={peer}")
        member.data_dir = data_dir
        self.etcd.restart(member)


async def _phase(etcd: Etcd, keys: Keys) -> Phase:
    found = await etcd.get(keys.ctl)
    return decode(Ctl, found.value, found.key).phase if found else Phase.IDLE


def _run(program: str, *arguments: str) -> None:
    argv = [_BIN / program, *arguments]
    subprocess.run(argv, capture_output=True, check=True, timeout=_LIMIT_S)
