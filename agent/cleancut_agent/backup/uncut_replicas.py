"""Local replicas that another peer's agent cuts: read and counted as well, to be compared."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.format.manifest import ReplicaEntry
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.effect_requests import Readings
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.evidence import is_quiet, is_same
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.peer_view import READING_LEVEL, readings_of
from cleancut.qdrant.responses import Telemetry
from cleancut_agent.local_peer import count_shards


class UncutReplicas:
    """Replicas of the local peer that exist elsewhere too and are not cut here."""

    def __init__(self, tasks: Sequence[ShardTask], first: Readings) -> None:
        self._tasks, self._first = tuple(tasks), first
        self._second: Readings | None = None

    @classmethod
    def among(cls, telemetry: Telemetry, cut: Sequence[ShardTask]) -> UncutReplicas:
        """Those that `telemetry` shows, at their first reading."""
        mine = {(task.collection, task.shard_id) for task in cut}
        tasks = [
            ShardTask(
                collection=name, shard_id=ShardId(shard_id), peer_id=PeerId(telemetry.peer_id or 0)
            )
            for name, entry in sorted(telemetry.collections.items())
            for shard_id, shard in sorted(entry.shards.items())
            if shard.op_num is not None
            and len(shard.replica_states) > 1
            and (name, shard_id) not in mine
        ]
        return cls(tasks, readings_of(telemetry, tasks))

    def read_again(self, telemetry: Telemetry) -> None:
        """The second reading."""
        self._second = readings_of(telemetry, self._tasks, self._first.segments())

    async def count(self, qdrant: Qdrant, timeout_s: float) -> tuple[ReplicaEntry, ...]:
        """Exact counts of those that were quiet, and still are; the others are left out, and so is
        what does not answer."""
        second = self._second
        if second is None:
            return ()
        quiet = [index for index in range(len(self._tasks)) if self._is_quiet(index, second)]
        tasks = [self._tasks[index] for index in quiet]
        if not tasks:
            return ()
        counts = await count_shards(qdrant, tasks, timeout_s)
        try:
            telemetry = await qdrant.telemetry(level=READING_LEVEL)
        except CleancutError:
            return ()
        known = [second.segments()[index] for index in quiet]
        third = readings_of(telemetry, tasks, known)
        return tuple(
            ReplicaEntry(
                collection=task.collection,
                shard_id=task.shard_id,
                peer_id=task.peer_id,
                first=self._first.at(index),
                second=second.at(index),
                count=count,
            )
            for place, (index, task, count) in enumerate(zip(quiet, tasks, counts, strict=True))
            if count is not None and is_same(second.at(index), third.at(place))
        )

    def _is_quiet(self, index: int, second: Readings) -> bool:
        return is_quiet(self._first.at(index), second.at(index), drained=True)
