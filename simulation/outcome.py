"""One finished run, as the checkers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl, Group, Operation
from simulation.archived import Archived
from simulation.network import Surroundings
from simulation.programs import Config
from simulation.qdrant import SimQdrant
from simulation.resharding import SimReshardings
from simulation.trace import Moment
from simulation.undeleting import SimUndeletes
from simulation.users import Asked


@dataclass(slots=True)
class Outcome:
    """`asked`: what users asked for; `config`: what the coordinators were configured with.
    `archived`: None, if nothing is archived. `diverged`: replicas held different points from the
    beginning. `healthy`: Qdrant, the store and clocks do nothing by themselves. `first_shards`: of
    the group from before, by collection."""

    shared: Surroundings
    qdrant: SimQdrant
    asked: Sequence[Asked]
    config: Config
    reshardings: SimReshardings
    undeletes: SimUndeletes
    archived: Archived | None = None
    diverged: bool = False
    healthy: bool = False
    first_shards: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def ctls(self) -> list[tuple[float, Ctl]]:
        return [(at_s, _decoded(Ctl, kv.value, kv.key)) for at_s, kv in self.shared.trace.ctls]

    def moments(self) -> list[tuple[Ctl, Moment]]:
        """Whenever ctl was put."""
        found = self.shared.trace.moments
        return [(_decoded(Ctl, one.ctl.value, one.ctl.key), one) for one in found]

    def remembered(self) -> list[tuple[Ctl, Moment]]:
        """As `moments`, without those that etcd forgot when it went back."""
        found = self.moments()
        for turn in self.shared.trace.turns:
            before, after = found[: turn.ctls], found[turn.ctls :]
            found = [pair for pair in before if pair[1].ctl.mod_revision <= turn.revision] + after
        return found

    def operations(self) -> list[tuple[float, Operation]]:
        """Every record of an operation that was ever written, in their order."""
        return [
            (at_s, _decoded(Operation, kv.value, kv.key))
            for at_s, kv in self.shared.trace.operations
        ]

    def known_records(self) -> dict[str, Operation]:
        """The newest record of each operation that etcd knows of in the end."""
        found, at = dict[str, Operation](), 0
        records = self.operations()
        for turn in self.shared.trace.turns:
            at = turn.recorded
            known = (_decoded(Operation, kv.value, kv.key) for kv in turn.operations)
            found = {one.id: one for one in known}
        return found | {record.id: record for _, record in records[at:]}

    def last_records(self) -> dict[str, Operation]:
        """The newest record of each operation."""
        return {record.id: record for _, record in self.operations()}

    def manifests(self) -> dict[Epoch, Manifest]:
        """The groups that etcd has decided on, as they were staged."""
        found: dict[Epoch, Manifest] = {}
        for decision in self.shared.trace.decisions:
            group = _decoded(Group, decision.group.value, decision.group.key)
            path = self.shared.paths.staged(group.epoch, group.manifest)
            found[group.epoch] = _decoded(Manifest, self.shared.archive[path], path)
        return found


_decoded = lru_cache(maxsize=4096)(decode)
"""Checkers ask for the same records again and again."""
Checker = Callable[[Outcome], Iterator[str]]
