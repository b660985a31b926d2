"""Values of the API: reshards; see `cleancut.api.values` for how these values work."""

from __future__ import annotations

from cleancut.api.values import AgentProgress, ApiValue, Attempt, OperationError, Time
from cleancut.core.protocol.states import State


class ReshardStep(ApiValue, frozen=True):
    """`shards`: how many there are after it. `peer_ids`: that get a replica of the new shard
    `shard_id`, or had one of the dropped shard. `points`: that moved, as agents counted them.
    `agents`: of the peers, in the order of `peer_ids`, "" where they are not known."""

    shards: int
    shard_id: int
    peer_ids: tuple[int, ...] = ()
    size_bytes: int = 0
    done: bool = False
    points: int = 0
    seconds: float = 0.0
    agents: tuple[str, ...] = ()


class ReshardPlan(ApiValue, frozen=True):
    """What a reshard would do; it can start if there are no `blockers`."""

    collection: str
    shard_key: str | None = None
    shards: int = 0
    wanted: int = 0
    steps: tuple[ReshardStep, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    digest: str = ""
    size_bytes: int = 0


class Reshard(ApiValue, frozen=True):
    """One reshard operation. `shards`: after its last finished step; 0: not known yet. `steps`:
    the finished ones, the one under way, and those that follow. `after`: the restore that has to be
    done before."""

    id: str
    state: State = State.PENDING
    created_at: Time | None = None
    ended_at: Time | None = None
    collection: str = ""
    shard_key: str | None = None
    shards: int = 0
    wanted: int = 0
    steps: tuple[ReshardStep, ...] = ()
    error: OperationError | None = None
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    after: str = ""
    attempt_history: tuple[Attempt, ...] = ()


class ReshardOptions(ApiValue, frozen=True):
    """See ReshardOptions in reshard.proto."""

    collection: str
    shards: int
    shard_key: str | None = None


class ReshardPage(ApiValue, frozen=True):
    """Newest first; the last page has no `next_page_token`."""

    reshards: tuple[Reshard, ...] = ()
    next_page_token: str = ""
