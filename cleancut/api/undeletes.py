"""Values of the API: undeletes; see `cleancut.api.values` for how these values work."""

from __future__ import annotations

from cleancut.api.values import AgentProgress, ApiValue, Attempt, OperationError, Time
from cleancut.core.protocol.states import State


class UndeleteShard(ApiValue, frozen=True):
    """A shard of the backup, read by `agent`. `points`: that it may have to look up; None: not
    known. `selected`: those that were looked up so far; `done`: all of them."""

    shard_id: int
    shard_key: str | None = None
    agent: str = ""
    points: int | None = None
    size_bytes: int = 0
    selected: int = 0
    done: bool = False


class UndeletePlan(ApiValue, frozen=True):
    """What an undelete would read; it can start if there are no `blockers`."""

    backup_id: str
    backup_epoch: int
    collection: str
    into: str
    shards: tuple[UndeleteShard, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    digest: str = ""
    size_bytes: int = 0


class Undelete(ApiValue, frozen=True):
    """One undelete operation. Of the points `selected` so far, the collection `into` had `present`
    (as in the backup, or not compared), had `differing` ones and lacked those `missing`.
    `restored`: those that were sent, of which one that a client had written by then stayed as it
    was. `absent`: of these, those that were not there afterwards."""

    id: str
    state: State = State.PENDING
    created_at: Time | None = None
    ended_at: Time | None = None
    backup_epoch: int = 0
    collection: str = ""
    into: str = ""
    overwrite: bool = False
    count_only: bool = False
    selected: int = 0
    present: int = 0
    missing: int = 0
    differing: int = 0
    restored: int = 0
    absent: int = 0
    shards: tuple[UndeleteShard, ...] = ()
    error: OperationError | None = None
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    attempt_history: tuple[Attempt, ...] = ()


class UndeleteOptions(ApiValue, frozen=True):
    """See UndeleteOptions in undelete.proto."""

    backup_id: str
    collection: str
    ids: tuple[str, ...] = ()
    filter: str = ""
    shard_keys: tuple[str, ...] = ()
    into: str = ""
    overwrite: bool = False
    points_per_s: int = 0
    count_only: bool = False


class UndeletePage(ApiValue, frozen=True):
    """Newest first; the last page has no `next_page_token`."""

    undeletes: tuple[Undelete, ...] = ()
    next_page_token: str = ""
