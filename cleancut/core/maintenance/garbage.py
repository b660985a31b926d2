"""What nothing names any more, and when it may be deleted.

Pure: the rules only. An object goes in two sweeps. The first writes what nothing names on a doomed
list, `gc/<name>.json`; every epoch that begins after that counts what is listed as unknown, so it
can never come to be named again. The second waits until all epochs from before are over, looks
again, and deletes what is still not named. So neither a sweeper that wakes up late nor a backup in
between can hurt: once both conditions hold, what is not named stays so for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, Sha256, ShardId
from cleancut.core.primitives.timestamps import parse_time

GRACE_S = 24 * 3600.0
"""For readers of the store that nobody knows of; nothing else needs it."""
LIVE_SHARE = 0.25
"""A pack of which less is needed is not worth to be kept for it."""
MAX_DOOMED = 50_000
"""Objects on one list; what is beyond waits for the next."""
REUSED_EPOCHS = 8
"""So many of the last epochs, if newer than the newest group, may have left packs to be reused."""
SEED_KEPT_S = 14 * 24 * 3600.0
"""So long the backup that a seed was made for may be waited for, from the newest such seed on."""


class GarbageList(Record, frozen=True):
    """`gc/<name>.json`. `objects`: paths under the cluster's folder, and their sizes in bytes."""

    objects: tuple[tuple[str, int], ...]


class GarbageMark(Record, frozen=True):
    """`gc` in etcd: the doomed lists that every epoch after `epoch` has seen in the store.

    `lists`: sha256 by name. `at`: RFC 3339, when that became so.
    """

    lists: dict[str, Sha256]
    epoch: Epoch
    at: str
    nonce: str = ""


class LastSweep(Record, frozen=True):
    """`swept` in etcd: when the last sweep ended that did not fail, and what it left to the next.

    `at`: RFC 3339.
    """

    at: str
    doomed_bytes: int = 0
    nonce: str = ""


class Hold(Record, frozen=True):
    """`holds/<epoch>/<operation>.json` of a store: who still reads the group, or wants it kept, and
    until when; "" for ever."""

    operation: OperationId
    created_at: str
    expires_at: str


class Begun(Record, frozen=True):
    """`seeds/<epoch>/<sha256>.json`: a seed has begun at that time (RFC 3339) to read these shards
    (collection, shard, peer). While this is there its packs stay, and those of epochs from `since`
    on, which it may reuse; and all pages."""

    at: str
    since: Epoch
    shards: tuple[tuple[str, ShardId, PeerId], ...]

    @property
    def collections(self) -> frozenset[str]:
        return frozenset(name for name, _, _ in self.shards)


def first_reused(newest_group: int, epoch: int) -> int:
    """From which epoch on packs may be reused by `epoch`, if no group names them."""
    return max(newest_group, epoch - REUSED_EPOCHS) + 1


def seeds_over(
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
    """What is named. `epochs`: those of groups, and those that an operation's record names.
    `named`: pages, by digest, and packs, by name.

    `newest_group` (deleted ones too, so that it never falls), `newest_epoch`: 0 for none. `holds`:
    the paths of those not yet over. `ledger`: of the newest checks that went well, which tell their
    age whatever has become of the group. `seeds`: epochs whose packs wait for a backup; which pages
    do, nothing tells, so all stay.
    """

    epochs: frozenset[int]
    recipes: frozenset[str]
    named: frozenset[str]
    holds: frozenset[str]
    newest_group: int
    newest_epoch: int
    ledger: frozenset[str] = frozenset()
    seeds: frozenset[int] = frozenset()

    def is_live(self, path: str) -> bool:
        """Whether the object at `path`, under the cluster's folder, has to stay. Whatever is of no
        known kind stays."""
        match path.split("/"):
            case ["packs", epoch, session, number] if epoch.isdigit():
                return f"{epoch}/{session}/{number}" in self.named or self._reusable(int(epoch))
            case ["pages", _, digest]:
                return digest in self.named or bool(self.seeds)
            case ["recipes", _, digest]:
                return digest in self.recipes
            case ["votes" | "staged", epoch, *_] if epoch.isdigit():
                return int(epoch) in self.epochs
            case ["ledger", epoch, _] if epoch.isdigit():
                return int(epoch) in self.epochs or path in self.ledger
            case ["probe" | "marks", epoch, _] if epoch.isdigit():
                return int(epoch) >= self.newest_epoch
            case ["groups", name] if name.endswith(".json") and name[:-5].isdigit():
                return int(name[:-5]) in self.epochs
            case ["holds", _, _]:
                return path in self.holds
        return True

    def _reusable(self, epoch: int) -> bool:
        first = first_reused(self.newest_group, self.newest_epoch)
        return epoch >= first or epoch in self.seeds


def unknown_of(lists: Iterable[GarbageList]) -> frozenset[str]:
    """What no capture may name: packs by name, pages and recipes by digest."""
    found = set()
    for one in lists:
        for path, _ in one.objects:
            kind, _, rest = path.partition("/")
            if kind == "packs":
                found.add(rest)
            elif kind in {"pages", "recipes"}:
                found.add(rest.rpartition("/")[2])
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


class SweepStep(StrEnum):
    """What a sweep does with the doomed lists that it finds."""

    FIND = "find"  # there is none: look for what nothing names
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
) -> SweepStep:
    """`waited_s`: since they were marked. `open_epoch`: None while no operation is under way."""
    if not lists:
        return SweepStep.FIND
    if marked is None or marked.lists != lists:
        return SweepStep.MARK
    if open_epoch is not None and open_epoch <= marked.epoch:
        return SweepStep.WAIT_EPOCH
    return SweepStep.DELETE if waited_s >= grace_s else SweepStep.WAIT_GRACE
