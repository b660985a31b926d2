"""Garbage: objects that nothing references any more, and when they may be deleted.

Pure: the rules only. An object is deleted by two gc runs. The first writes unreferenced objects to
a garbage list, `gc/<name>.json`; every later epoch treats listed objects as unknown, so they can
never be referenced again. The second waits until all earlier epochs are over, checks again, and
deletes what is still unreferenced. So neither a garbage collector that wakes up late nor a backup
in between does harm: once both conditions hold, an unreferenced object stays so for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from cleancut.core.format.paths import ObjectKind, parse_path
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, Sha256, ShardId
from cleancut.core.primitives.record_times import MaybeTime, Time
from cleancut.core.primitives.timestamps import parse_time

GRACE_S = 24 * 3600.0
"""For unknown readers of the store; nothing else needs it."""
LIVE_SHARE = 0.25
"""A pack of which a smaller share is needed is underused."""
MAX_LISTED = 50_000
"""Objects on one list; the rest waits for the next."""
REUSED_EPOCHS = 8
"""Number of last epochs, newer than the newest group, whose packs may be reused."""
SEED_KEPT_S = 14 * 24 * 3600.0
"""How long packs of a seed wait for its backup, counted from the newest such seed."""
IMPORT_KEPT_S = 14 * 24 * 3600.0
"""How long what an import has stored waits for its backup."""
IMPORT_ENTERED_S = IMPORT_KEPT_S / 2
"""How old an import may be when it is entered in the catalog: by then nothing of it is garbage."""
UNFINISHED_S = 24 * 3600.0
"""Age, by the store's clock, at which what a killed writer has left goes: no put takes as long."""
TOMBSTONE_KEPT_S = 30 * 24 * 3600.0
"""How long a tombstone outlives its backup: it stops a process that was frozen since."""
CHECKS_KEPT = 100
"""Entries of the verification log that stay of one backup, if none found damage."""


class GarbageList(Record, frozen=True):
    """`gc/<name>.json`. `objects`: paths under the cluster's folder, and their sizes in bytes."""

    objects: tuple[tuple[str, int], ...]


class GarbageMark(Record, frozen=True):
    """`gc` in etcd: the garbage lists that every epoch after `epoch` has seen in the store.

    `lists`: sha256 by name. `at`: RFC 3339, when that became so.
    """

    lists: dict[str, Sha256]
    epoch: Epoch
    at: Time
    nonce: str = ""


class LastGc(Record, frozen=True):
    """`last-gc` in etcd: when the last gc run ended that did not fail, and what it left to the
    next.

    `at`: RFC 3339; "" for none yet. `stopped`: why the last scheduled one deleted nothing, for an
    operator to look at; "" if it ran.
    """

    at: MaybeTime
    marked_bytes: int = 0
    stopped: str = ""
    nonce: str = ""


class Hold(Record, frozen=True):
    """`holds/<epoch>/<operation>.json` of a store: the operation that reads the group, or the
    reason that keeps it, and until when; "" for ever."""

    operation: OperationId
    created_at: Time
    expires_at: MaybeTime


class Tombstone(Record, frozen=True):
    """`groups/<epoch>.deleted`: the group is deleted; the tombstone always wins."""

    deleted_at: Time
    why: str


class Begun(Record, frozen=True):
    """`seeds/<epoch>/<sha256>.json`: a seed has begun at that time (RFC 3339) to read these shards
    (collection, shard, peer). While this is there its packs stay, and those of epochs from `since`
    on, which it may reuse; and all pages."""

    at: Time
    since: Epoch
    shards: tuple[tuple[str, ShardId, PeerId], ...]

    @property
    def collections(self) -> frozenset[str]:
        return frozenset(name for name, _, _ in self.shards)


class BegunImport(Record, frozen=True):
    """`imports/<id>/begun.json`: an import has begun at that time (RFC 3339). While this is there
    and not too old, its packs stay, and all pages and recipes."""

    at: Time


def first_reused(newest_group: int, epoch: int) -> int:
    """From which epoch on packs may be reused by `epoch`, if no group names them."""
    return max(newest_group, epoch - REUSED_EPOCHS) + 1


def finished_seeds(
    seeds: Mapping[Epoch, Begun], newest: Mapping[str, int], now_s: float
) -> frozenset[Epoch]:
    """Those whose blocks a backup has taken, or that none has asked for in time. `newest`: by
    collection, the newest group that holds it. A later seed of the same goes on with an earlier
    one, so that waits as long."""
    over = set()
    for epoch, seed in seeds.items():
        taken = all(newest.get(name, 0) > epoch for name in seed.collections)
        ends_s = max(
            parse_time(other.at) + SEED_KEPT_S
            for later, other in seeds.items()
            if later == epoch or (later > epoch and seed.collections & other.collections)
        )
        if taken or now_s >= ends_s:
            over.add(epoch)
    return frozenset(over)


class LiveSet(NamedTuple):
    """The referenced objects. `epochs`: those of groups, and those in operations' records.
    `named`: pages, by digest, and packs, by name.

    `newest_group` (deleted ones too, so that it never falls), `newest_epoch`: 0 for none. `holds`:
    the paths of those not yet over. `verifications`: of the newest successful checks, which keep
    their age even if the backup is gone, and of those that tell of damage. `seeds`: epochs whose
    packs wait for a backup; the pages that wait are unknown, so all stay. `unread`: the newest
    group of which it is not known what it names, 0 for none: what it may name stays. `buried`:
    epochs whose tombstones nothing needs any more. `superseded`: paths of checks of living backups
    that newer ones have made superfluous. `imports`: ids of those that may be entered still; their
    packs are of epoch 0.
    """

    epochs: frozenset[int]
    recipes: frozenset[str]
    named: frozenset[str]
    holds: frozenset[str]
    newest_group: int
    newest_epoch: int
    verifications: frozenset[str] = frozenset()
    seeds: frozenset[int] = frozenset()
    unread: int = 0
    buried: frozenset[int] = frozenset()
    superseded: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()

    def is_live(self, path: str) -> bool:
        """True if the object at `path`, under the cluster's folder, has to stay; so do objects of
        no known kind."""
        match parse_path(path):
            case (ObjectKind.PACK, 0, name):
                imported = name.split("/")[1] in self.imports
                return name in self.named or imported or bool(self.unread)
            case (ObjectKind.PACK, int(epoch), name):
                return name in self.named or self._reusable(epoch) or epoch <= self.unread
            case (ObjectKind.PAGE, _, digest):
                waits = self.seeds or self.imports or self.unread
                return digest in self.named or bool(waits)
            case (ObjectKind.RECIPE, _, digest):
                return digest in self.recipes or bool(self.imports) or bool(self.unread)
            case (ObjectKind.IMPORT, _, import_id):
                return import_id in self.imports
            case (
                ObjectKind.VOTES_DOCUMENT
                | ObjectKind.STAGED
                | ObjectKind.GROUP
                | ObjectKind.OPERATION_ID,
                epoch,
                _,
            ):
                return epoch in self.epochs
            case (ObjectKind.VERIFICATION, epoch, _):
                old = path in self.superseded
                return path in self.verifications or (epoch in self.epochs and not old)
            case (ObjectKind.TOMBSTONE, epoch, _):
                return epoch not in self.buried
            case (ObjectKind.PROBE | ObjectKind.MARK, int(epoch), _):
                return epoch >= self.newest_epoch
            case (ObjectKind.HOLD, _, _):
                return path in self.holds
        return True

    def _reusable(self, epoch: int) -> bool:
        first = first_reused(self.newest_group, self.newest_epoch)
        return epoch >= first or epoch in self.seeds


def unknown_of(lists: Iterable[GarbageList]) -> frozenset[str]:
    """The objects that no capture may reference: packs by name, pages and recipes by digest."""
    found = set()
    for one in lists:
        for path, _ in one.objects:
            parsed = parse_path(path)
            if parsed.kind in {ObjectKind.PACK, ObjectKind.PAGE, ObjectKind.RECIPE}:
                found.add(parsed.name)
    return frozenset(found)


class UnderusedPacks(Record, frozen=True):
    """`sparse/<name>.json`: packs of which the newest groups need little, by name, sorted.

    Their blocks count as new to the next backup, so that the packs can go once older groups have.
    A shard that did not change is taken over all the same.
    """

    packs: tuple[str, ...]


def sparse_of(live: Mapping[str, int], sizes: Mapping[str, int]) -> UnderusedPacks:
    """`live`: bytes of each pack that the newest groups need; `sizes`: of those that are there."""
    found = (pack for pack, size in sizes.items() if live.get(pack, 0) < size * LIVE_SHARE)
    return UnderusedPacks(packs=tuple(sorted(pack for pack in found if pack in live)))


class GcStep(StrEnum):
    """The next step of a gc run, by the garbage lists that it finds."""

    FIND = "find"  # there is none: look for unreferenced objects
    MARK = "mark"  # there are others than those marked
    WAIT_EPOCH = "wait_epoch"  # an epoch is open that may not have seen them
    WAIT_GRACE = "wait_grace"
    DELETE = "delete"


def next_of(
    lists: Mapping[str, Sha256],
    marked: GarbageMark | None,
    *,
    open_epoch: Epoch | None,
    waited_s: float,
    grace_s: float,
) -> GcStep:
    """`waited_s`: since they were marked. `open_epoch`: None while no operation is under way."""
    if not lists:
        return GcStep.FIND
    if marked is None or marked.lists != lists:
        return GcStep.MARK
    if open_epoch is not None and open_epoch <= marked.epoch:
        return GcStep.WAIT_EPOCH
    return GcStep.DELETE if waited_s >= grace_s else GcStep.WAIT_GRACE
