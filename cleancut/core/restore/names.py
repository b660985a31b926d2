"""Names of restored collections, and the names that block a restore.

A collection never takes a name that is in use: aliases are pointed elsewhere, and a real collection
is deleted for one, only on request. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec.structs import replace

from cleancut.core.cluster.restored_names import base_of
from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, check_collection_name
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.overwrite import NO_UUID
from cleancut.core.restore.target import Target

UNKNOWN_ID = "ID"
"""Placeholder for the restore's id in a plan without an operation."""
_LONGEST_ID = "r-" + 16 * "0"


class RestoreNames(Record, frozen=True):
    """See `PlannedCollection`; `warnings` are for people, `reason` forbids it."""

    action: Literal["create", "beside", "replace", "overwrite"]
    created_as: str
    published_as: str
    aliases: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()


def created_as(name: str, request: RestoreRequest, operation: str) -> str:
    """The collection that restore `operation` creates for `name` of the group."""
    renames = dict(request.renames)
    new = renames.get(name, name)
    if request.replace or request.beside or (request.target is not None and name not in renames):
        return _suffixed(base_of(name) if new == name else new, operation)
    return new


def what_has(name: str, target: Target) -> str:
    """`collection`, `alias of X`, or "" if the name is free."""
    if name in target.collections:
        return "collection"
    aliases = dict(target.aliases)
    return f"alias of {aliases[name]}" if name in aliases else ""


def names_of(
    entries: Sequence[CollectionEntry], request: RestoreRequest, target: Target, operation: str
) -> dict[str, RestoreNames]:
    """The names of each entry, by its name in the group; no name is given twice.

    Raises: Invalid, for a rename of what is not restored, or two of one collection.
    """
    renames = _renames(entries, request)
    found = {}
    for entry in entries:
        new = renames.get(entry.name, "")
        if request.overwrite:
            found[entry.name] = _overwriting(entry, target, operation)
        elif request.replace:
            found[entry.name] = _replacing(entry, new, target, operation)
        elif request.beside:
            found[entry.name] = _beside(entry, new, target, operation)
        elif request.target is not None and entry.name not in dict(request.renames):
            found[entry.name] = _as_new(entry, target, operation)
        else:
            found[entry.name] = _as_itself(entry, new, target)
        if new and entry.aliases:
            warning = f"its aliases ({_list(entry.aliases)}) are not restored under another name"
            found[entry.name] = _warned(found[entry.name], warning)
    return _apart(found)


def _renames(entries: Sequence[CollectionEntry], request: RestoreRequest) -> dict[str, str]:
    renames = dict(request.renames)
    if len(renames) != len(set(request.renames)):
        raise Invalid("a collection is renamed twice", "give each --rename another OLD")
    for old in sorted(renames.keys() - {entry.name for entry in entries}):
        raise Invalid(f"{old!r} is renamed but not restored", "name it with --collection too")
    if not all(renames.values()):
        raise Invalid("a collection is renamed to nothing", "give its new name, or no --rename")
    return {old: new for old, new in renames.items() if new != old}


def _as_itself(entry: CollectionEntry, new: str, target: Target) -> RestoreNames:
    name = new or entry.name
    aliases = () if new else entry.aliases
    reason = _unusable(name) or _taken(name, target) or _aliases_taken(aliases, target)
    return RestoreNames(
        action="create", created_as=name, published_as=name, aliases=aliases, reason=reason
    )


def _as_new(entry: CollectionEntry, target: Target, operation: str) -> RestoreNames:
    """Under a name that nothing uses: what is there now is compared with it, and stays."""
    base = base_of(entry.name)
    name = _suffixed(base, operation)
    reason = _unusable(base, suffixed=True) or _made_before(base, target, operation)
    return RestoreNames(action="beside", created_as=name, published_as=name, reason=reason)


def _beside(entry: CollectionEntry, new: str, target: Target, operation: str) -> RestoreNames:
    base = new or base_of(entry.name)
    aliases = _united((base,), () if new else entry.aliases)
    reason = (
        _unusable(base, suffixed=True)
        or _made_before(base, target, operation)
        or _taken(base, target)
        or _aliases_taken(aliases, target)
    )
    return RestoreNames(
        action="beside",
        created_as=_suffixed(base, operation),
        published_as=base,
        aliases=aliases,
        reason=reason,
    )


def _replacing(entry: CollectionEntry, new: str, target: Target, operation: str) -> RestoreNames:
    base = new or base_of(entry.name)
    is_real = base in target.collections
    wanted = () if new else entry.aliases
    aliases = wanted if is_real else _united((base,), wanted)
    now = dict(target.aliases)
    replaced = tuple((alias, now[alias]) for alias in aliases if alias in now)
    reason = (
        _unusable(base, suffixed=True)
        or _made_before(base, target, operation)
        or next((_real_alias(alias) for alias in aliases if alias in target.collections), "")
    )
    if is_real and not aliases:
        reason = reason or (
            f"{base!r} is a real collection, and no known alias could point elsewhere instead;"
            " restore in its place with --overwrite, or with --beside and --rename"
        )
    names = RestoreNames(
        action="replace" if replaced else "beside",
        created_as=_suffixed(base, operation),
        published_as=aliases[0] if is_real and aliases else base,
        aliases=aliases,
        replaced=replaced,
        reason=reason,
    )
    if not is_real or not aliases:
        return names
    return _warned(
        names,
        f"{base!r} is a real collection and stays: clients that use this name, and not"
        f" {_list(aliases)}, go on to see the old data",
    )


def _overwriting(entry: CollectionEntry, target: Target, operation: str) -> RestoreNames:
    """In the place of the real collection of its name, whose aliases move with it."""
    name, created = entry.name, _suffixed(entry.name, operation)
    own = tuple(alias for alias, to in target.aliases if to == name)
    aliases = _united((name,), _united(own, entry.aliases))
    others = [alias for alias in entry.aliases if alias not in own]
    reason = (
        _unusable(name, suffixed=True)
        or _made_before(name, target, operation)
        or _no_real(name, target)
        or _aliases_taken(others, target)
    )
    names = RestoreNames(
        action="overwrite",
        created_as=created,
        published_as=name,
        aliases=aliases,
        replaced=tuple((alias, name) for alias in own),
        reason=reason,
    )
    return _warned(
        names,
        f"collection {name!r} is deleted once {created!r} is verified, and the alias {name!r}"
        " points to that for good; in between, for less than a second, clients get 404. A backup of"
        f" {name!r} alone is made before and held for 7 days. Keep writers away from it until the"
        " restore is done: a write after that backup undoes the restore. Backups and schedules that"
        f" name {name!r} hold what the alias points to afterwards",
    )


def _no_real(name: str, target: Target) -> str:
    if any(peer.peer_id == WITHOUT_CLUSTER for peer in target.peers):
        return ": ".join(NO_UUID)
    if name in target.collections:
        return ""
    if name in dict(target.aliases):
        return f"{name!r} is an alias here, not a collection; use --replace"
    return f"there is no collection {name!r} to overwrite; leave --overwrite out"


def _suffixed(base: str, operation: str) -> str:
    return f"{base}@{operation or UNKNOWN_ID}"


def _united(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _warned(names: RestoreNames, warning: str) -> RestoreNames:
    return replace(names, warnings=(*names.warnings, warning))


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


# What forbids a name


def _unusable(name: str, *, suffixed: bool = False) -> str:
    try:
        check_collection_name(name)
        if suffixed:
            check_collection_name(_suffixed(name, _LONGEST_ID))
    except Invalid as error:
        return str(error)
    return ""


def _taken(name: str, target: Target) -> str:
    aliases = dict(target.aliases)
    if name in target.collections:
        own = [alias for alias, to in target.aliases if to == name]
        move = f", or move its aliases ({_list(own)}) with --replace" if own else ""
        return (
            f"a collection {name!r} exists; restore in its place with --overwrite, or with"
            f" --rename, or only the others with --collection{move}"
        )
    if name in aliases:
        return (
            f"{name!r} is an alias of {aliases[name]!r}; delete or rename that alias first, or"
            " restore with --replace"
        )
    return ""


def _made_before(base: str, target: Target, operation: str) -> str:
    name = _suffixed(base, operation)
    if operation and (name in target.collections or name in dict(target.aliases)):
        return f"{name!r} exists and is never reused; find out what it is, then delete it"
    return ""


def _aliases_taken(aliases: Sequence[str], target: Target) -> str:
    now = dict(target.aliases)
    for alias in aliases:
        if alias in target.collections:
            return _real_alias(alias)
        if alias in now:
            return (
                f"its alias {alias!r} points to {now[alias]!r} here; delete that alias first, or"
                " restore with --replace"
            )
    return ""


def _real_alias(alias: str) -> str:
    return f"its alias {alias!r} is the name of a collection here; delete or rename that"


def _apart(found: dict[str, RestoreNames]) -> dict[str, RestoreNames]:
    """Refuses all collections that would share a name."""
    owners: dict[str, list[str]] = {}
    for name, names in found.items():
        for taken in _claimed(names):
            owners.setdefault(taken, []).append(name)
    for taken, sharing in owners.items():
        if len(sharing) > 1:
            reason = f"{_list(sharing)} would all be called {taken!r}; use --rename for all but one"
            for name in sharing:
                found[name] = replace(found[name], reason=found[name].reason or reason)
    return found


def _claimed(names: RestoreNames) -> Iterator[str]:
    yield from dict.fromkeys((names.created_as, names.published_as, *names.aliases))
