"""Requests of users, which an operation stores as canonical JSON, and their bounds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.primitives.labels import check_labels
from cleancut.core.protocol.bounds import MAX_ATTEMPTS, MAX_STREAMS, SEED_STREAMS
from cleancut.core.protocol.moment import Moment

_HEX = re.compile(r"[0-9a-f]{8,64}")
WAIT_S = 1800.0
"""How long an operation waits for agents that are away, unless its schedule is frequent."""
MAX_SHARDS = 10_000
MAX_REPLICAS = 100
MAX_KEEP_S = 100 * 365 * 86400.0
MAX_IDS = 10_000
MAX_FILTER = 64 << 10
STREAMS_TO_OPEN = 256
"""The most streams of an agent that are open and not cut yet: Qdrant answers 408 to a thousand at
once. Source: measured, Qdrant 1.18.3"""


def check_attempts(attempts: int) -> int:
    """`attempts`, if it is within the bound on epochs of an operation. Raises: Invalid."""
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise Invalid(f"invalid number of attempts: {attempts}", f"use 1 to {MAX_ATTEMPTS}")
    return attempts


def check_streams(streams: int) -> int:
    """`streams`, if it is within the bound on shards read at a time. Raises: Invalid."""
    if not 1 <= streams <= MAX_STREAMS:
        raise Invalid(f"invalid number of streams: {streams}", f"use 1 to {MAX_STREAMS}")
    return streams


def check_shard_number(shards: int) -> int:
    """`shards`, if a collection may have that number. Raises: Invalid."""
    if not 1 <= shards <= MAX_SHARDS:
        raise Invalid(f"invalid number of shards: {shards}", f"use 1 to {MAX_SHARDS}")
    return shards


def check_undelete(request: UndeleteRequest) -> UndeleteRequest:
    """`request`, if its selection is within the bounds of a record. Raises: Invalid."""
    if len(request.ids or ()) > MAX_IDS:
        raise Invalid(
            f"{len(request.ids or ()):,} ids are more than {MAX_IDS:,}",
            "put them back in several undeletes, or select them with a filter",
        )
    if len(request.filter) > MAX_FILTER:
        raise Invalid("the filter is too long", f"at most {MAX_FILTER} characters")
    return request


def check_import(request: ImportRequest) -> None:
    """Raises: Invalid, unless the names of what was stored are such names."""
    if not _HEX.fullmatch(request.import_id) or not _HEX.fullmatch(request.draft):
        raise Invalid(
            "the id of an import and the digest of its draft are hexadecimal",
            "use `cleancut backup import`, which stores both",
        )


def check_selection(collections: Collection[str], exclude: Collection[str]) -> None:
    """Raises: Invalid, if a collection is named and excluded."""
    both = sorted(set(collections).intersection(exclude))
    if both:
        raise Invalid(f"collection {both[0]!r} is named and excluded", "leave one of the two out")


class Selection(Record, frozen=True):
    """Collections that an operation takes: the named ones, or all; never the excluded ones.
    `names_only`: of each, nothing but its name, uuid and configuration is looked at."""

    collections: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    names_only: bool = False

    def takes(self, name: str) -> bool:
        """Whether the collection is among them."""
        return name not in self.exclude and (not self.collections or name in self.collections)

    def resolved(self, aliases: Mapping[str, str]) -> Selection:
        """It with the collections behind its names, in addition to these."""
        return msgspec.structs.replace(
            self,
            collections=with_targets(self.collections, aliases),
            exclude=with_targets(self.exclude, aliases),
        )


def with_targets(names: Collection[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The names, and the collections behind those that are aliases; sorted."""
    return tuple(sorted({*names, *(aliases[name] for name in names if name in aliases)}))


NAMES_ONLY = Selection(names_only=True)


class BackupRequest(Record, frozen=True):
    """`exclude`: left out of all collections. `allow_missing`: collections that cannot be backed up
    are left out and listed, and the backup is partial. `fence`: `alias=NAME`, `hook`, or `none`;
    empty: as configured. `fence_budget_s` 0: the configured one. `schedule`: the one that asks, ""
    for a user. `full`: all data is stored again, whatever earlier backups hold. `audit`: shards
    that are captured from the disk are streamed too, and compared. `wait_s`: for agents that are
    away. `labels`: for people, by key. `keep_s`: how long it is kept once it is cut, whatever the
    retention rules; 0: they decide."""

    collections: tuple[str, ...] = ()
    allow_empty: bool = False
    require_point_in_time: bool = False
    attempts: int = 3
    fence: tuple[str, ...] = ()
    fence_budget_s: float = 0.0
    schedule: str = ""
    full: bool = False
    exclude: tuple[str, ...] = ()
    allow_missing: bool = False
    audit: bool = False
    wait_s: float = WAIT_S
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    keep_s: float = 0.0


def check_marks(request: BackupRequest) -> None:
    """Raises: Invalid, for labels that cannot be stored, or a life that is none."""
    check_labels(request.labels)
    if not 0 <= request.keep_s <= MAX_KEEP_S:
        raise Invalid(
            f"a backup cannot be kept for {request.keep_s:g} s",
            "give up to a hundred years, or 0 for what the retention rules say",
        )


class SeedRequest(Record, frozen=True):
    """`streams`: the number of shards that each agent reads at a time. `wait_s`: as of a backup."""

    collections: tuple[str, ...] = ()
    streams: int = SEED_STREAMS
    attempts: int = 3
    wait_s: float = WAIT_S


class ImportRequest(Record, frozen=True):
    """`import_id`: of what the command has stored; `draft`: the sha256 of its document. The
    collection and the number of its shards are for people."""

    import_id: str
    draft: str
    collection: str = ""
    attempts: int = 3


class RebalanceRequest(Record, frozen=True):
    """`max_moves` 0: as many as it takes. `plan`: the digest of the plan that was agreed to; ""
    takes any. `after`: the restore that has to be done before. `drop_surplus`: no shard keeps more
    replicas than its collection's replication factor."""

    max_moves: int = 0
    bandwidth_aware: bool = False
    drop_surplus: bool = False
    plan: str = ""
    after: OperationId = OperationId("")


class ReshardRequest(Record, frozen=True):
    """`shards`: the number that the collection is to have; of its shards under `shard_key`, if it
    has such keys; a number is one unless the same text is a key. `plan`: the digest of the plan
    that was agreed to; "" takes any. `after`: the restore that has to be done before."""

    collection: str
    shards: int
    shard_key: str | None = None
    plan: str = ""
    after: OperationId = OperationId("")


class UndeleteRequest(Record, frozen=True):
    """Points of `collection` in `backup`, a group's epoch, that are put back `into` a collection;
    `ids` None: all. `filter`: Qdrant's, as JSON; "" for none. `overwrite`: also those that differ.
    `points_per_s` 0: as fast as it goes. `count_only`: nothing is written. `plan`: the digest of
    the plan that was agreed to; "" takes any."""

    backup: Epoch
    collection: str
    into: str
    ids: tuple[int | str, ...] | None = None
    filter: str = ""
    shard_keys: tuple[str, ...] = ()
    overwrite: bool = False
    points_per_s: int = 0
    count_only: bool = False
    plan: str = ""


class ShardNumber(Record, frozen=True):
    """A number of shards for `of`: a collection, or a shard key of the only collection that is
    restored; "": every collection, and each key of it."""

    shards: int
    of: str = ""


class RestoreRequest(Record, frozen=True):
    """`backup` is a group's epoch; `collections` empty means all of the group.

    `renames`: old and new names. `replicas` 0: as in the group. `plan`: the digest of the plan that
    was agreed to; "" takes any. `only_shards`: these lost shards of the one collection, in place,
    at `peer` if given. `shards`: numbers of shards that collections have in the end, by further
    operations; `offline`: their shards are built before it, by the caller. `rebalance`: shards are
    spread evenly afterwards, by another operation.
    `strict`: a sample search that answers otherwise undoes the restore. `accept_count`: a shard
    that holds more points than the backup says does not. `target`: the moment to which the backup
    is rolled forward; None: it is restored as it is. `from_store`: the name of the store that holds
    the backup; "" for the main one. `quotas`: those of the backup are set again. `overwrite`: the
    one collection takes the place of the real one of its name, which is backed up before.
    """

    backup: Epoch
    collections: tuple[str, ...] = ()
    from_cluster: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    beside: bool = False
    replace: bool = False
    replicas: int = 0
    only_shards: tuple[ShardId, ...] = ()
    peer: PeerId | None = None
    plan: str = ""
    rebalance: bool = False
    strict: bool = False
    accept_count: bool = False
    target: Moment | None = None
    from_store: str = ""
    quotas: bool = False
    shards: tuple[ShardNumber, ...] = ()
    offline: bool = False
    overwrite: bool = False
