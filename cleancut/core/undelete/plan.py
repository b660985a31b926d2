"""Plan of an undelete: which agent reads which shard of the backup, and what prevents it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record, digest_of
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, Epoch, ShardId
from cleancut.core.protocol.etcd_records import Session
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.undelete.pace import Pace

SCRATCH = 3
"""Scratch that a shard takes, in sizes of its tar: the tar, then unpacked, and its points."""


class PlannedShard(Record, frozen=True):
    """A shard of the backup with selected points. `points`: all that it has; None: unknown."""

    shard_id: ShardId
    shard_key: str | int | None = None
    points: int | None = None
    size_bytes: int = 0
    agent: AgentName = AgentName("")


class UndeletePlan(Record, frozen=True):
    """What an undelete reads, and where; it can start if there are no `blockers`. `asked`: see
    `asked_of`. `target`: the collection behind `into`, known by its `uuid`; "" without cluster
    mode."""

    backup: Epoch
    collection: str
    into: str
    asked: str = ""
    shards: tuple[PlannedShard, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    target: str = ""
    uuid: str = ""
    pace: Pace = Pace()

    @property
    def digest(self) -> str:
        """What is agreed to: which agent reads a shard may change."""
        shards = [replace(shard, agent=AgentName("")) for shard in self.shards]
        names = [self.backup, self.collection, self.into, self.asked]
        return digest_of([*names, self.target, self.uuid, shards])


def asked_of(request: UndeleteRequest) -> str:
    """The digest of which points are asked for, and whether those that differ are replaced."""
    return digest_of([request.ids, request.filter, request.shard_keys, request.overwrite])


def with_agents(plan: UndeletePlan, sessions: Mapping[AgentName, Session]) -> UndeletePlan:
    """`plan` with an agent for each shard: the largest first, to the agent that has least to read.
    Only agents with Qdrant's storage engine can, and only shards that their spill has room for;
    `sessions` are the live ones that have a peer."""
    able = sorted(name for name, said in sessions.items() if said.engine == "")
    unable = sorted(set(sessions) - set(able))
    if not able:
        named = f": {', '.join(unable)}" if unable else ""
        blocker = (
            f"no agent can open shards of a backup, for which its image needs `cleancut[data]`"
            f"{named}"
        )
        return replace(plan, blockers=(*plan.blockers, blocker))
    load = dict.fromkeys(able, 0)
    chosen: dict[ShardId, AgentName] = {}
    for shard in sorted(plan.shards, key=lambda one: (-one.size_bytes, one.shard_id)):
        fitting = [name for name in able if _fits(shard, sessions[name])]
        if not fitting:
            blocker = (
                f"no agent may spill the {SCRATCH * shard.size_bytes:,} bytes that shard"
                f" {shard.shard_id} takes: raise --spill-max (agent.spillSize in the chart)"
            )
            return replace(plan, blockers=(*plan.blockers, blocker))
        agent = min(fitting, key=lambda name: (load[name], name))
        load[agent] += max(1, shard.size_bytes)
        chosen[shard.shard_id] = agent
    notes = plan.notes
    if unable:
        notes = (*notes, f"agents without `cleancut[data]` read no shard: {', '.join(unable)}")
    shards = tuple(replace(shard, agent=chosen[shard.shard_id]) for shard in plan.shards)
    return replace(plan, shards=shards, notes=notes)


def _fits(shard: PlannedShard, said: Session) -> bool:
    """A directory with a limit is half of it at most: a pod that exceeds it is evicted."""
    limit = said.spill_max_bytes
    return limit is None or SCRATCH * shard.size_bytes <= limit


def check_undelete(plan: UndeletePlan) -> UndeletePlan:
    """`plan`, if it can start. Raises: Refused."""
    if plan.blockers:
        raise Refused(
            f"points of {plan.collection!r} cannot be put back: {plan.blockers[0]}",
            "`cleancut undelete plan` shows what prevents it",
        )
    return plan


def check_agreed(plan: UndeletePlan, digest: str) -> None:
    """Raises: Refused, if the plan is not the one that was agreed to; "" takes any."""
    if digest not in {"", plan.digest}:
        raise Refused(
            "the plan has changed since it was agreed to", "read the new one: `undelete plan`"
        )


def check_same(plan: UndeletePlan, uuid: str | None) -> None:
    """Raises: Refused, unless the collection of that name is the one of the plan: points that were
    put into another one are not back."""
    if plan.uuid and uuid != plan.uuid:
        raise Refused(
            f"collection {plan.target!r} was {'replaced' if uuid else 'deleted'} while points were"
            " put back into it",
            "begin again: `cleancut undelete start`",
        )


def shares(points_per_s: int, agents: Sequence[AgentName]) -> int:
    """The rate of each agent; 0: as fast as it goes."""
    return max(1, points_per_s // max(1, len(set(agents)))) if points_per_s else 0
