"""Plan of a backup: who would cut which shard, what is stored of it, what prevents it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import (
    Bounds,
    Reading,
    Session,
    ShardTask,
    SickCollection,
)
from cleancut.core.protocol.evidence import is_same
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.requests import BackupRequest

Place = tuple[str, ShardId, PeerId]


class PlannedCut(Record, frozen=True):
    """A shard, and the agent that would cut it. `size_bytes`: about what it holds. `parent`: the
    backup of which nothing is stored again; None: there is none. `expected_bytes`: about what is
    stored of it, before compression. None: not known."""

    collection: str
    shard_id: ShardId
    agent: AgentName
    peer_id: PeerId
    shard_key: str | int | None = None
    size_bytes: int | None = None
    parent: Epoch | None = None
    expected_bytes: int | None = None


class BackupPlan(Record, frozen=True):
    """What a backup would do now; it would be refused, or fail, if there are `blockers`.
    `missing`: collections that it would leave out."""

    collections: tuple[str, ...] = ()
    cuts: tuple[PlannedCut, ...] = ()
    missing: tuple[SickCollection, ...] = ()
    fence: Fence | None = None
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()


def plan_cuts(
    tasks: Mapping[AgentName, Sequence[ShardTask]],
    groups: Sequence[Manifest],
    *,
    sizes: Mapping[Place, int],
    readings: Mapping[Place, Reading],
) -> tuple[PlannedCut, ...]:
    """The cuts of an assignment, by collection and shard. `groups`: the parents, newest first.
    `sizes`, `readings`: of replicas, so far as they are known."""
    parents: dict[tuple[str, ShardId], Epoch] = {}
    for group in groups:
        for entry in group.shards:
            parents.setdefault((entry.collection, entry.shard_id), group.epoch)
    cuts = []
    for agent, given in tasks.items():
        for task in given:
            place = task.collection, task.shard_id, task.peer_id
            parent, size = parents.get(place[:2]), sizes.get(place)
            cuts.append(
                PlannedCut(
                    collection=task.collection,
                    shard_id=task.shard_id,
                    agent=agent,
                    peer_id=task.peer_id,
                    shard_key=task.shard_key,
                    size_bytes=size,
                    parent=parent,
                    expected_bytes=size if parent is None else _expected(task, readings.get(place)),
                )
            )
    return tuple(sorted(cuts, key=lambda cut: (cut.collection, cut.shard_id)))


def _expected(task: ShardTask, now: Reading | None) -> int | None:
    """Nothing, if nothing was applied since the parent; how much of a change is new, only the
    capture can tell."""
    unchanged = task.parent is not None and now is not None and is_same(task.parent.second, now)
    return 0 if unchanged else None


def differing(views: Mapping[str, View]) -> Iterator[str]:
    """A blocker for each peer whose view is not that of the first. `views`: by the peers' URLs."""
    first, *others = views
    for url in others:
        if views[url] != views[first]:
            yield (
                f"Qdrant at {url} describes the cluster otherwise than the one at {first}: no shard"
                " is cut until all agree; `cleancut doctor` says why they do not"
            )


def instant_blockers(
    request: BackupRequest, undrainable: Mapping[str, str], *, can_roll: bool
) -> Iterator[str]:
    """What keeps a backup from being point-in-time that must be. `undrainable`: collections, and
    why they cannot be drained. `can_roll`: agents follow the logs of all shards."""
    if not request.require_point_in_time or can_roll:
        return
    for name, reason in sorted(undrainable.items()):
        yield (
            f"{name!r} cannot be proven point-in-time, since it is not drained ({reason}) and its"
            " log is not followed (give the agents --qdrant-storage, or leave --require out)"
        )


def instant_notes(request: BackupRequest, fence: Fence | None, *, can_roll: bool) -> Iterator[str]:
    """What a backup that must be point-in-time depends on."""
    if not request.require_point_in_time or fence is not None or can_roll:
        return
    yield (
        "writes during the cut make it fail: without the logs of all shards (see `cleancut status`)"
        " and without a fence only a quiet moment is point-in-time"
    )


def may_roll(sessions: Iterable[Session], bounds: Bounds) -> bool:
    """False if it is known that some agent cannot follow logs, or that none are to be followed."""
    return bounds.standstill_s > 0 and not any(said.wal for said in sessions)


def optimizing_note(readings: Iterable[Reading], bounds: Bounds) -> Iterator[str]:
    """One for all shards that Qdrant optimizes."""
    running = sum(one.state is not None and one.state.optimizing > 0 for one in readings)
    if running:
        shards = "1 shard" if running == 1 else f"{running} shards"
        yield f"Qdrant optimizes {shards}: the cut waits for up to {bounds.optimizing_s:g} s"


def described(error: CleancutError) -> str:
    """An error as a blocker."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
