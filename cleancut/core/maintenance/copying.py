"""Copying of groups to another store: which ones, and which of their objects are missing there.

Pure. Objects are written once under names that are never used again, so an object that is there
with its size is there for good: a copy goes on where an earlier one stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from cleancut.core.format.paths import ObjectKind, parse_path
from cleancut.core.maintenance.garbage import LiveSet
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import Epoch


class Scope(StrEnum):
    """Which groups are copied: one, all (those that are there are looked through again), or those
    that are not there yet."""

    ONE = "one"
    ALL = "all"
    NEW = "new"


class SourceGroup(NamedTuple):
    """A published group of the source without a tombstone. `flaw`: why it is not copied, "" for a
    good one."""

    epoch: Epoch
    flaw: str = ""


class LeftOut(NamedTuple):
    """A group that is not copied, and why. `expected`: nothing is wrong with it."""

    epoch: Epoch
    why: str
    expected: bool = False


class CopyPlan(NamedTuple):
    """Both oldest first: later groups share the objects of earlier ones."""

    copied: tuple[Epoch, ...]
    left_out: tuple[LeftOut, ...]


def plan_copy(
    groups: Iterable[SourceGroup],
    scope: Scope,
    *,
    there: Collection[int],
    deleted_there: Collection[int],
) -> CopyPlan:
    """The verdict on each group. `there`: epochs that the target has published; `deleted_there`:
    those with a tombstone, which takes precedence there as it does everywhere."""
    copied, left_out = [], []
    for group in sorted(groups):
        if group.epoch in deleted_there:
            why = "it was deleted from the copy, which keeps its tombstone"
            left_out.append(LeftOut(group.epoch, why, expected=scope is not Scope.ONE))
        elif scope is Scope.NEW and group.epoch in there:
            continue
        elif group.flaw:
            left_out.append(LeftOut(group.epoch, group.flaw))
        else:
            copied.append(group.epoch)
    return CopyPlan(tuple(copied), tuple(left_out))


def check_owners(source: Mapping[int, str], target: Mapping[int, str], where: str) -> None:
    """The target may be a copy of this source: it has no owner yet, or only owners that the source
    has too. Both by number. `where`: the target's URL.

    Raises: Refused.
    """
    foreign = [number for number, owner in sorted(target.items()) if source.get(number) != owner]
    if foreign:
        theirs, ours = target[foreign[-1]], source.get(max(source, default=0), "")
        raise Refused(
            f"{where} holds backups of another cluster of this name"
            f" ({theirs[:8]}), the source is {ours[:8]}",
            "copy to another folder or prefix; one that a cluster has adopted takes no more copies",
        )


def check_same_cluster(mine: Mapping[int, str], theirs: Mapping[int, str], where: str) -> None:
    """One store is a copy of the other, or both are of one store: owners that both have are equal.
    Both by number. `where`: the other store's URL.

    Raises: Refused.
    """
    common = mine.keys() & theirs.keys()
    if not common or any(mine[number] != theirs[number] for number in common):
        raise Refused(
            f"{where} does not hold backups of this cluster",
            "name a store that this one was copied to or from",
        )


class Missing(NamedTuple):
    """Of the named objects, those to copy and those that neither side has."""

    copied: tuple[str, ...]
    lost: tuple[str, ...]


def missing_of(
    names: Iterable[str], source: Mapping[str, int], target: Mapping[str, int]
) -> Missing:
    """What has to be copied so that the target has all `names`; sizes in bytes by name.

    Raises: Corrupt, if the target holds one with another size.
    """
    copied: list[str] = []
    lost: list[str] = []
    for name in names:
        have, want = target.get(name), source.get(name)
        if have is not None and want is not None and have != want:
            raise Corrupt(
                f"{name} has {have} bytes in the copy, not {want}",
                "`cleancut backup repair` replaces damaged objects of one store from another",
            )
        if have is None:
            (lost if want is None else copied).append(name)
    return Missing(tuple(copied), tuple(lost))


class CopyGarbage(NamedTuple):
    """What distinguishes garbage in a copy from a copy that is under way, wherever that runs.

    `living`: what the copy's own groups and holds name; `deleted`: epochs with a tombstone there.
    `source_living`, `source_groups` (without a tombstone) and `source_paths` (packs, pages and
    recipes that are there): of the source, read before `living`.

    An object that a copy may still need lies at the source, since a group that is being copied is
    not deleted there. One that the source no longer has is never named again: names are not reused.
    """

    living: LiveSet
    deleted: frozenset[int]
    source_living: LiveSet
    source_groups: frozenset[int]
    source_paths: frozenset[str]

    def is_garbage(self, path: str) -> bool:
        """Whether the object at `path`, under the cluster's folder, may be deleted there."""
        if self.living.is_live(path):
            return False
        match parse_path(path):
            case (ObjectKind.PACK | ObjectKind.PAGE | ObjectKind.RECIPE, _, _):
                return path not in self.source_paths and not self.source_living.is_live(path)
            case (ObjectKind.TOMBSTONE, epoch, _):
                return epoch not in self.source_groups  # it would be copied again
            case (ObjectKind.GROUP, epoch, _):
                return epoch in self.deleted
            case (
                ObjectKind.VOTES_DOCUMENT | ObjectKind.STAGED | ObjectKind.OPERATION_ID,
                epoch,
                _,
            ):
                return epoch in self.deleted or epoch not in self.source_groups
        return True

    def missed(self, listed: Iterable[str]) -> frozenset[int]:
        """Epochs of manifests at these paths that `living` does not know: published meanwhile, or
        left out of a listing. What they name is unknown, so nothing may be deleted."""
        parsed = (parse_path(path) for path in listed)
        there = {one.number for one in parsed if one.kind is ObjectKind.GROUP and one.number}
        return frozenset(there - self.living.epochs - self.deleted)
