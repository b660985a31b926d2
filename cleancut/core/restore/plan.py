"""Plan of a restore and its blockers: a pure function of a group and a live cluster.

The peers of each shard are not known yet: Qdrant chooses them when a collection is created.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from cleancut.core.cluster.collection_config import replication_factor, wal_bytes
from cleancut.core.format.manifest import CollectionEntry, Manifest, ShardEntry
from cleancut.core.primitives.codec import Record, digest_of
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId, parse_version
from cleancut.core.protocol.blockers import check_unblocked
from cleancut.core.protocol.moment import Moment
from cleancut.core.protocol.requests import MAX_REPLICAS, RestoreRequest
from cleancut.core.restore.blockers import (
    VISIBLE,
    blockers,
    cannot_be_rebuilt,
    fillers,
    is_custom,
    quota_blockers,
    quota_warnings,
    store_blockers,
    warnings_of,
    warnings_of_group,
)
from cleancut.core.restore.estimate import Estimate, estimate_of
from cleancut.core.restore.names import names_of, what_has
from cleancut.core.restore.resharded import (
    as_resharded,
    groups_of,
    planned_of,
    version_blockers,
)
from cleancut.core.restore.shard_numbers import (
    ReshardAfter,
    promised_blockers,
    reshard_blockers,
    reshard_warnings,
    reshards_after,
    wanted_of,
)
from cleancut.core.restore.shard_repair import repair_of
from cleancut.core.restore.space import Share, bound_at, space_blockers, space_warnings
from cleancut.core.restore.target import Target, TargetPeer

_SHOWN = 5
_CREATE_S, _CREATE_KEY_S = 0.2, 0.8
"""To create a collection, and a shard key. Source: measured: 240 collections in 47 s, 100 keys in
78 s (Qdrant 1.18.3)"""
Action = Literal["create", "beside", "replace", "overwrite", "repair", "refuse"]


class CollectionPlan(Record, frozen=True):
    """The plan for one collection.

    `name`: in the group. `created_as`: the collection that Qdrant gets. `published_as`: the
    name for clients in the end. `aliases` point to it in the end, `published_as` among them unless
    it is the collection's own name; `replaced` are those that exist, with what they point to now.
    `shard_ids`: all of them, or the lost ones of a repair. `exists`: the holder of that name.
    `size_bytes`: one copy of all shards, as stored; `points` is None where not all are known.
    `replicas`: of each shard; `factor`: the replication factor to create it
    with, 0: the group's. `repair_peer`: where lost shards of a repair go. `reason` says why
    `action` is to refuse.
    """

    name: str
    published_as: str
    action: Action
    shards: int
    replicas: int
    size_bytes: int
    created_as: str = ""
    points: int | None = None
    aliases: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    shard_ids: tuple[ShardId, ...] = ()
    exists: str = ""
    factor: int = 0
    repair_peer: PeerId | None = None
    reason: str = ""


class PeerPlan(Record, frozen=True):
    """Upper bounds of the peer's load, write-ahead logs included."""

    peer_id: PeerId
    agent: str
    shards_max: int
    size_bytes_max: int
    free_bytes: int | None = None


class PlacementPlan(Record, frozen=True):
    """It can start if there are no `blockers`; each blocker says what to do about it.

    `size_bytes`: to read, all replicas counted. `estimate`: of the time; None: no restore was
    measured yet. `moment`: the one to which logs are replayed, if they are. `reshards`: operations
    that follow it.
    """

    backup_id: OperationId
    backup_epoch: Epoch
    collections: tuple[CollectionPlan, ...]
    peers: tuple[PeerPlan, ...]
    source_version: str
    target_version: str
    size_bytes: int = 0
    estimate: Estimate | None = None
    warnings: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    moment: Moment | None = None
    reshards: tuple[ReshardAfter, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of what the restore would do and where: without the restore's own id, and without
        what changes by itself (free space, times). Blockers follow from the rest."""
        return digest_of(
            (
                self.backup_epoch,
                [_without_id(collection) for collection in self.collections],
                [(peer.peer_id, peer.agent) for peer in self.peers],
                self.source_version,
                self.target_version,
                *((_without_span(self.moment),) if self.moment is not None else ()),
                *self.reshards,
            )
        )


def _names(planned: CollectionPlan) -> tuple[str, ...]:
    """All that will name it; what is repaired has its name already."""
    if planned.action == "repair":
        return ()
    return (planned.published_as, planned.created_as, *planned.aliases)


def _without_id(planned: CollectionPlan) -> CollectionPlan:
    if planned.action in {"create", "repair"}:
        return planned
    named = "" if planned.published_as == planned.created_as else planned.published_as
    return replace(planned, created_as="", published_as=named)


def _without_span(moment: Moment) -> Moment:
    """Where its chunks are looked for does not change what the restore does."""
    shards = tuple(replace(shard, since_ms=0, until_ms=0) for shard in moment.shards)
    return replace(moment, shards=shards)


def make_plan(
    manifest: Manifest, request: RestoreRequest, target: Target, operation: str = ""
) -> PlacementPlan:
    """The plan, whether or not it can be carried out; `operation` is "" while there is none.

    Raises: NotFound, if a collection is asked for that the group does not hold; Invalid, for
        a request that contradicts itself.
    """
    _check_request(request)
    chosen, built = choose(manifest, request), tuple[ReshardAfter, ...]()
    if request.offline:
        groups = groups_of(chosen, wanted_of(chosen, request.shards))
        built, manifest = planned_of(manifest, groups), as_resharded(manifest, groups)
        chosen = choose(manifest, request)
    planned, warnings = (
        _repair(manifest, chosen[0], request, target)
        if request.only_shards
        else _restore(manifest, chosen, request, target, operation=operation)
    )
    reshards = built if request.offline else reshards_after(manifest, chosen, request)
    moment = request.target
    replay_s = moment.replay_s if moment is not None else 0.0
    shares = [
        _share(manifest, entry, one, moment) for entry, one in zip(chosen, planned, strict=True)
    ]
    versions = sorted(
        {p.qdrant_version for p in target.peers if p.qdrant_version}, key=parse_version
    )
    return PlacementPlan(
        backup_id=manifest.operation,
        backup_epoch=manifest.epoch,
        collections=planned,
        peers=tuple(_peer(peer, shares, target) for peer in target.peers),
        source_version=manifest.source.qdrant_version,
        target_version=versions[0] if versions else "",
        size_bytes=sum(one.size_bytes * one.replicas for one in planned),
        estimate=estimate_of(shares, target, _creation_s(chosen, planned) + replay_s),
        moment=moment,
        reshards=reshards,
        warnings=(
            *warnings_of_group(manifest, target, moment),
            *quota_warnings(request, manifest),
            *warnings,
            *(() if built else reshard_warnings(reshards)),
            *space_warnings(shares, target),
        ),
        blockers=(
            *blockers(manifest, target),
            *store_blockers(request.from_store, target),
            *quota_blockers(request, manifest, target),
            *(f"{one.name}: {one.reason}" for one in planned if one.action == "refuse"),
            *promised_blockers((n for one in planned for n in _names(one)), target),
            *(version_blockers(versions) if built else reshard_blockers(reshards, target)),
            *space_blockers(shares, target),
        ),
    )


def _creation_s(chosen: Sequence[CollectionEntry], planned: Sequence[CollectionPlan]) -> float:
    """The time to create the collections and their shard keys."""
    made = [
        entry
        for entry, plan in zip(chosen, planned, strict=True)
        if plan.action not in {"repair", "refuse"}
    ]
    return _CREATE_S * len(made) + _CREATE_KEY_S * sum(len(entry.shard_keys) for entry in made)


def check_plan(plan: PlacementPlan) -> PlacementPlan:
    """Raises: Refused, with the first blocker and the number of others."""
    hint = "see `cleancut restore plan` for all of them"
    check_unblocked("restore", plan.blockers, hint)
    return plan


def check_agreed(plan: PlacementPlan, digest: str) -> PlacementPlan:
    """Raises: Refused, if the digest that was agreed to is not that of the plan now; "" agrees to
    any."""
    if digest and digest != plan.digest:
        raise Refused(
            f"the plan that was agreed to ({digest[:12]}) does not hold any more: the cluster or"
            f" its names have changed (now {plan.digest[:12]})",
            "look at `cleancut restore plan` again, and start with the new digest",
        )
    return plan


def choose(manifest: Manifest, request: RestoreRequest) -> tuple[CollectionEntry, ...]:
    """The collections to restore, by name; all of the group if none is named. Raises: NotFound."""
    names = sorted(set(request.collections)) or sorted(e.name for e in manifest.collections)
    return tuple(manifest.collection(name) for name in names)


def _check_request(request: RestoreRequest) -> None:
    named = request.renames or request.beside or request.replace or request.replicas
    if request.only_shards and (named or request.shards or len(set(request.collections)) != 1):
        raise Invalid(
            "single shards are repaired in place, in one collection",
            "name it, and no other names and no number of replicas or shards",
        )
    if request.only_shards and request.target is not None:
        raise Invalid(
            "single shards are repaired as they are in the backup",
            "restore the whole collection to a moment, under another name",
        )
    if request.peer is not None and not request.only_shards:
        raise Invalid("a peer is named only for shards that are repaired", "leave it out")
    if request.offline and not request.shards:
        raise Invalid("shards are built offline for another number only", "give --shards N")
    if request.offline and request.target is not None:
        raise Invalid(
            "logs are replayed by the shards that wrote them, so not by shards built offline",
            "restore to the moment without --offline",
        )
    if request.replicas > MAX_REPLICAS:
        raise Invalid(f"{request.replicas} replicas are too many", f"use 1 to {MAX_REPLICAS}")
    if request.overwrite:
        _check_overwrite(request)
    if request.beside and request.replace:
        raise Invalid("beside wants free names, replace existing ones", "choose one of them")


def _check_overwrite(request: RestoreRequest) -> None:
    """Raises: Invalid, for what does not go together with an overwrite."""
    others = {
        "--at, --to, --before or --without": request.target is not None,
        "--beside": request.beside,
        "--replace": request.replace,
        "--rename": bool(request.renames),
        "--only-shard": bool(request.only_shards),
        "--shards": bool(request.shards),
        "--offline": request.offline,
    }
    for other, given in others.items():
        if given:
            raise Invalid(f"--overwrite and {other} exclude each other", "leave one of them out")
    if len(set(request.collections)) != 1:
        raise Invalid(
            "one collection is overwritten at a time", "name it: --overwrite --collection NAME"
        )


# Collections


def _restore(
    manifest: Manifest,
    chosen: tuple[CollectionEntry, ...],
    request: RestoreRequest,
    target: Target,
    *,
    operation: str,
) -> tuple[tuple[CollectionPlan, ...], tuple[str, ...]]:
    """The plans for all chosen collections, and the warnings."""
    names = names_of(chosen, request, target, operation)
    planned, warned = list[CollectionPlan](), list[tuple[str, str]]()
    for entry in chosen:
        given = names[entry.name]
        factor = request.replicas or replication_factor(entry.info)
        reason = given.reason or cannot_be_rebuilt(entry)
        log_bytes = request.target.bytes_of(entry.name) if request.target is not None else 0
        one = CollectionPlan(
            name=entry.name,
            published_as=given.published_as,
            created_as=given.created_as,
            action="refuse" if reason else given.action,
            shard_ids=entry.shard_ids,
            shards=len(entry.shard_ids),
            replicas=min(factor, max(1, len(target.peers))),
            factor=request.replicas,
            size_bytes=sum(shard.size_bytes for shard in manifest.shards_of(entry.name))
            + log_bytes,
            points=None if log_bytes else _points(manifest.shards_of(entry.name)),
            aliases=given.aliases,
            replaced=given.replaced,
            exists=what_has(given.published_as, target),
            reason=reason,
        )
        planned.append(one)
        own = (*given.warnings, *warnings_of(entry, factor, target))
        warned += [(entry.name, each) for each in own]
    warnings = _by_text(warned)
    if any(one.action == "create" for one in planned):
        warnings.insert(0, VISIBLE)
    return tuple(planned), tuple(warnings)


def _by_text(warned: Sequence[tuple[str, str]]) -> list[str]:
    """Each text once, with the collections that it is of."""
    names: dict[str, list[str]] = {}
    for name, text in warned:
        names.setdefault(text, []).append(name)
    return [f"{_listed(of)}: {text}" for text, of in names.items()]


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"


def _repair(
    manifest: Manifest, entry: CollectionEntry, request: RestoreRequest, target: Target
) -> tuple[tuple[CollectionPlan, ...], tuple[str, ...]]:
    """The plan to put lost shards of one collection back, and the warnings."""
    repair = repair_of(manifest, entry, request, target)
    wanted = tuple(sorted(set(request.only_shards)))
    shards = tuple(one for one in manifest.shards_of(entry.name) if one.shard_id in wanted)
    planned = CollectionPlan(
        name=entry.name,
        published_as=entry.name,
        created_as=entry.name,
        action="refuse" if repair.reason else "repair",
        shard_ids=wanted,
        shards=len(wanted),
        replicas=1,
        size_bytes=sum(shard.size_bytes for shard in shards),
        points=_points(shards),
        exists=what_has(entry.name, target),
        repair_peer=repair.peer,
        reason=repair.reason,
    )
    return (planned,), tuple(f"{entry.name}: {warning}" for warning in repair.warnings)


def _points(shards: tuple[ShardEntry, ...]) -> int | None:
    counts = [shard.count for shard in shards]
    return sum(c for c in counts if c is not None) if None not in counts else None


# Peers


def _share(
    manifest: Manifest, entry: CollectionEntry, planned: CollectionPlan, moment: Moment | None
) -> Share:
    shards = manifest.shards_of(entry.name)
    logs = (
        {shard.shard_id: shard.log_bytes for shard in moment.shards_of(entry.name)}
        if moment
        else {}
    )
    return Share(
        sizes=tuple(
            one.size_bytes + logs.get(one.shard_id, 0)
            for one in shards
            if one.shard_id in planned.shard_ids
        ),
        replicas=planned.replicas,
        log_bytes=wal_bytes(entry.info),
        even=not is_custom(entry),
        fillers=fillers(entry),
        at=planned.repair_peer,
    )


def _peer(peer: TargetPeer, shares: list[Share], target: Target) -> PeerPlan:
    bound = bound_at(peer.peer_id, shares, target)
    return PeerPlan(
        peer_id=peer.peer_id,
        agent=peer.agent or "",
        shards_max=bound.shards,
        size_bytes_max=bound.size_bytes,
        free_bytes=peer.free_bytes,
    )
