"""One finished run, as the checkers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl, Group
from tests.sim.network import Shared
from tests.sim.qdrant import SimQdrant


@dataclass(slots=True)
class Outcome:
    """One finished run, as the checkers see it."""

    shared: Shared
    qdrant: SimQdrant
    operations: tuple[str, ...]

    def ctls(self) -> list[tuple[float, Ctl]]:
        return [(at_s, decode(Ctl, kv.value, kv.key)) for at_s, kv in self.shared.trace.ctls]

    def manifests(self) -> dict[Epoch, Manifest]:
        """The groups that etcd has decided on, as they were staged."""
        found: dict[Epoch, Manifest] = {}
        for decision in self.shared.trace.decisions:
            group = decode(Group, decision.group.value, decision.group.key)
            path = self.shared.paths.staged(group.epoch, group.manifest)
            found[group.epoch] = decode(Manifest, self.shared.store.objects[path], path)
        return found


Checker = Callable[[Outcome], Iterator[str]]
