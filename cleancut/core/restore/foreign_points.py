"""Foreign points in what a restore made: what its shards hold that the backup does not explain."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.primitives.ids import PeerId, ShardId

_SUMS = 50_000

Counts = Mapping[tuple[ShardId, PeerId], int]


def foreign_points(
    captured: Mapping[ShardId, int | None],
    counts: Counts,
    total: int | None = None,
    *,
    agents: Mapping[int, str],
) -> str:
    """What a collection holds that its restore cannot have put there, for people; "" for nothing.

    A shard is empty until it is recovered, and then holds what the backup counted (`captured`;
    None: not known, as its backup is not point-in-time). `counts`: of each replica that was
    counted; `total`: of the collection, if there are replicas that were not. `agents`: by
    peer, their names.
    """
    known: dict[ShardId, int] = {}
    for (shard, peer), count in sorted(counts.items()):
        expected = captured.get(shard, 0)
        if count not in {0, expected} and expected is not None:
            at = peer_and_id(peer, agents)
            return f"shard {shard} at {at} holds {count} points, the backup {expected}"
        known[shard] = max(count, known.get(shard, 0))
    if total is None:
        return ""
    rest = total - sum(known.values())
    others = [count for shard, count in captured.items() if shard not in known]
    if None in others or rest in _sums([count for count in others if count]):
        return ""
    return f"its shards at other peers hold {rest} points, which the backup does not explain"


def _sums(counts: list[int]) -> set[int]:
    """The sums of any of these; of very many, only none and all."""
    found = {0}
    for count in counts:
        found |= {one + count for one in found}
        if len(found) > _SUMS:
            return {0, sum(counts)}
    return found
