"""Values of the API: rebalances; see `cleancut.api.values` for how these values work."""

from __future__ import annotations

from cleancut.api.values import AgentProgress, ApiValue, Attempt, OperationError, Time
from cleancut.core.protocol.states import State


class BalanceStep(ApiValue, frozen=True):
    """`action`: replicate | move | drop. `count`: what the new replica's own agent counted.
    `done`: None where it is not known."""

    action: str
    collection: str
    shard_id: int
    source_peer_id: int
    target_peer_id: int | None = None
    size_bytes: int = 0
    wave: int = 0
    count: int | None = None
    source_agent: str = ""
    target_agent: str = ""
    done: bool | None = None


class BalancedPeer(ApiValue, frozen=True):
    """What one peer holds before and after the steps."""

    peer_id: int
    shards_before: int = 0
    shards_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    agent: str = ""


class RebalancePlan(ApiValue, frozen=True):
    """What a rebalance would do; it can start if there are no `blockers`."""

    steps: tuple[BalanceStep, ...] = ()
    peers: tuple[BalancedPeer, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    digest: str = ""
    size_bytes: int = 0


class Rebalance(ApiValue, frozen=True):
    """One rebalance operation; `after` is the restore that has to be done before."""

    id: str
    state: State = State.PENDING
    created_at: Time | None = None
    ended_at: Time | None = None
    after: str = ""
    steps: tuple[BalanceStep, ...] = ()
    peers: tuple[BalancedPeer, ...] = ()
    error: OperationError | None = None
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    attempt_history: tuple[Attempt, ...] = ()


class RebalanceOptions(ApiValue, frozen=True):
    """See RebalanceOptions in rebalance.proto."""

    max_moves: int = 0
    bandwidth_aware: bool = False
    drop_surplus: bool = False


class RebalancePage(ApiValue, frozen=True):
    """Newest first; the last page has no `next_page_token`."""

    rebalances: tuple[Rebalance, ...] = ()
    next_page_token: str = ""
