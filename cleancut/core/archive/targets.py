"""Targets of a restore to a moment: which entries of each shard's log are replayed on which backup.

A mark is one instant of all shards. A time, or an entry, is a place in each log by the looks that
agents took at it: then shards are apart by the skew. Pure: the caller reads backups, chains, marks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cleancut.core.archive.entries import window_of
from cleancut.core.archive.plan import Place
from cleancut.core.archive.records import Look, Mark
from cleancut.core.archive.views import Archive, Base, ChainView, steady_marks
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.moment import Moment, MomentRequest, ShardMoment

NEAR_MS = 300_000
"""A mark further away than this from the time that was asked for is not taken for it."""
_SETTINGS = "archive it: `[archive] collections` in the coordinator's settings, then back it up"


@dataclass(frozen=True, slots=True)
class _Ground:
    """The base, its shards that are restored, and what is archived of them."""

    base: Base
    archive: Archive
    keys: Sequence[Place]


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where each log is cut. `low_ms`, `high_ms`: each shard was in that state within these."""

    ends: Mapping[Place, int]
    at_ms: int
    low_ms: int
    high_ms: int
    mark: Mark | None = None


# What is asked for


def check_asked(asked: MomentRequest, now_ms: int) -> None:
    """Raises: Invalid, for a request that contradicts itself, or a time that has not come."""
    ends = [bool(asked.at_ms), bool(asked.mark), asked.before is not None]
    if sum(ends) > 1:
        raise Invalid("a restore goes to one moment", "give one of --at, --before and --to")
    if not any(ends) and asked.without is None:
        raise Invalid("no moment is named", "give --at, --before, --without or --to")
    if asked.before is not None and asked.without is not None:
        raise Invalid(
            f"nothing behind {asked.before} is replayed, so nothing can be left out",
            "give one of --before and --without",
        )
    if asked.exact and not asked.at_ms:
        raise Invalid("--exact is for a time", "give it together with --at")
    if asked.force and asked.without is None:
        raise Invalid("--force is for an entry that is left out", "give --without")
    for entry in (asked.before, asked.without):
        if entry is not None and entry.index < 1:
            raise Invalid(f"{entry} names no operation", "see `cleancut backup log`")
    if asked.at_ms > now_ms:
        raise Invalid(
            f"{_time(asked.at_ms)} is in the future, now is {_time(now_ms)}", "give a time before"
        )


def chosen_collections(
    asked: MomentRequest, base: Base, named: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The collections that are restored: the named ones, or all that are archived, and warnings.

    Raises: NotFound, Refused, if one cannot be; Invalid, if an entry could be in several.
    """
    archived, warnings = set(base.archived), list[str]()
    for name in sorted(set(named)):
        if name not in base.collections:
            raise NotFound(
                f"backup #{base.epoch} holds no collection {name!r}",
                f"see `cleancut backup show {base.epoch}`",
            )
        if name not in archived:
            raise Refused(
                f"the log of {name!r} was not archived when backup #{base.epoch} was made, so it"
                " can only be restored as it was then",
                _SETTINGS,
            )
    if not archived:
        raise Refused(
            f"no log was archived when backup #{base.epoch} was made, so it can only be restored"
            " as it is",
            _SETTINGS,
        )
    chosen = tuple(sorted(set(named) or archived))
    others = [name for name in base.collections if name not in archived]
    if others and not named:
        warnings.append(f"not archived, so not restored: {', '.join(others)}")
    entry = asked.before or asked.without
    if entry is not None and len(chosen) > 1:
        raise Invalid(
            f"several collections may have an entry {entry}", "name one with --collection"
        )
    return chosen, tuple(warnings)


# Resolution


def resolve(
    asked: MomentRequest,
    base: Base,
    archive: Archive,
    named: Collection[str] = (),
    *,
    belonging: Mapping[Place, int] | None = None,
) -> Moment:
    """The moment that is asked for, as a replay on this base. `belonging`: entries of other shards
    that belong to the one that is named (see `belonging_to`).

    Raises: Refused, NotFound, if it cannot be had from this base, with what can be had instead.
    """
    chosen, warnings = chosen_collections(asked, base, named)
    keys = [key for key in sorted(base.shards) if key[0] in chosen]
    _check_base(base, keys)
    belongs = dict(belonging or {})
    entry = asked.before or asked.without
    if entry is not None:
        belongs[chosen[0], entry.shard_id] = entry.index
        _check_entries(base, archive, belongs)
    if not asked.mark:
        marks = steady_marks(archive.marks, [base.shards[key].chain for key in keys])
        archive = replace(archive, marks=marks)
    ground = _Ground(base, archive, keys)
    cut = _cut(asked, ground, belongs)
    left_out = belongs if asked.without is not None else {}
    shards = tuple(_shard(ground, key, cut.ends[key], left_out.get(key)) for key in keys)
    reached = asked.at_ms or cut.at_ms
    return Moment(
        asked=asked,
        at_ms=cut.at_ms,
        instant=cut.mark is not None,
        shards=shards,
        mark=cut.mark.name if cut.mark is not None else "",
        skew_ms=0 if cut.mark is not None else cut.high_ms - cut.low_ms,
        distance_ms=abs(reached - cut.at_ms),
        warnings=warnings,
    )


def _check_base(base: Base, keys: Sequence[Place]) -> None:
    if base.damage:
        raise Refused(
            f"backup #{base.epoch}, on which logs would be replayed, is damaged: {base.damage}",
            "name an older backup instead: `cleancut backup list`",
        )
    for key in keys:
        doubt = base.shards[key].doubt
        if doubt:
            raise Refused(
                f"backup #{base.epoch} cannot be a base for logs: {_name(key)} {doubt}",
                "name another backup: `cleancut backup list`",
            )


def _cut(asked: MomentRequest, ground: _Ground, belongs: Mapping[Place, int]) -> _Cut:
    marks = ground.archive.marks
    if asked.mark:
        named = [mark for mark in marks if mark.name == asked.mark]
        if not named:
            raise NotFound(f"no mark is named {asked.mark!r}", _named_marks(marks))
        return _at_mark(max(named, key=lambda mark: mark.at_ms), ground)
    if asked.before is not None:
        return _before(ground, belongs)
    if asked.at_ms and asked.exact:
        return _at_clock(asked.at_ms, ground)
    if asked.at_ms:
        return _near(asked.at_ms, ground)
    return _newest(ground, belongs)


def _at_mark(mark: Mark, ground: _Ground) -> _Cut:
    """The cut of a mark. Raises: Refused, if this base cannot be rolled forward to it."""
    base = ground.base
    what = f"mark {mark.name!r}" if mark.name else f"the mark of {_time(mark.at_ms)}"
    if mark.doubt:
        raise Refused(f"{what} is not proven to be one instant: {mark.doubt}", "name another mark")
    ends = {(end.collection, end.shard): end for end in mark.ends}
    found: dict[Place, int] = {}
    for key in ground.keys:
        shard, end = base.shards[key], ends.get(key)
        if end is None:
            raise Refused(
                f"{what} is not of {_name(key)}, whose log was not followed then",
                "restore the others by name, with --collection",
            )
        if end.chain != shard.chain:
            raise _break(ground, key, end.chain)
        if end.last < shard.end:
            raise Refused(
                f"{what} is older than backup #{base.epoch}", "name an older backup, or `latest`"
            )
        found[key] = end.last
    return _Cut(found, mark.at_ms, mark.at_ms, mark.at_ms, mark)


def _near(at_ms: int, ground: _Ground) -> _Cut:
    """The newest mark at or before a time that this base can be rolled forward to."""
    archive = ground.archive
    first: Refused | None = None
    for mark in _newest_first(archive.marks, at_ms):
        if at_ms - mark.at_ms > NEAR_MS:
            break
        try:
            return _at_mark(mark, ground)
        except Refused as error:
            first = first or error
    if first is not None:
        raise first
    before = next(_newest_first(archive.marks, at_ms), None)
    after = min((mark.at_ms for mark in archive.marks if mark.at_ms > at_ms), default=None)
    nearest = [mark_ms for mark_ms in (before.at_ms if before else None, after) if mark_ms]
    shown = " and ".join(f"--at {_time(mark_ms)}" for mark_ms in nearest)
    raise Refused(
        f"no mark is within {NEAR_MS // 60_000} minutes before {_time(at_ms)}",
        f"{f'the nearest ones: {shown}; or ' if shown else ''}give --exact, which cuts each shard"
        " by the clock",
    )


def _newest(ground: _Ground, belongs: Mapping[Place, int]) -> _Cut:
    """The newest mark that has these entries; without one, all that is archived."""
    base, archive = ground.base, ground.archive
    for mark in _newest_first(archive.marks):
        try:
            cut = _at_mark(mark, ground)
        except Refused:
            continue
        if all(cut.ends.get(key, -1) >= index for key, index in belongs.items()):
            return cut
        break
    ends, seen = dict[Place, int](), list[int]()
    for key in ground.keys:
        shard, view = base.shards[key], archive.chains.get(base.shards[key].chain)
        ends[key] = max(shard.end, view.reach(shard.first) if view is not None else -1)
        seen += [look.at_ms for look in archive.looks(shard.chain)[-1:]]
    low_ms, high_ms = min(seen, default=base.cut_ms), max(seen, default=base.cut_ms)
    return _Cut(ends, high_ms, low_ms, high_ms)


def _at_clock(at_ms: int, ground: _Ground) -> _Cut:
    """Each log where its agent saw it last by a time."""
    base, archive, keys = ground.base, ground.archive, ground.keys
    if at_ms < base.cut_ms:
        raise Refused(
            f"{_time(at_ms)} is before backup #{base.epoch}, of {_time(base.cut_ms)}",
            "name an older backup, or `latest`",
        )
    newest = [archive.looks(base.shards[key].chain)[-1:] for key in keys]
    reached_ms = max((look.at_ms for looks in newest for look in looks), default=0)
    if reached_ms < at_ms:
        until = f"reaches to {_time(reached_ms)}" if reached_ms else "holds nothing of these logs"
        raise Refused(f"the archive {until}", "give a time up to then; later ones come in time")
    ends, times = dict[Place, int](), [at_ms]
    for key in keys:
        end, low_ms = _seen_by(at_ms, key, ground)
        ends[key] = end
        times.append(low_ms)
    return _Cut(ends, at_ms, min(times), max(times))


def _seen_by(at_ms: int, key: Place, ground: _Ground) -> tuple[int, int]:
    """The last entry of a log at a time, and when it was known to be that."""
    base, archive = ground.base, ground.archive
    shard = base.shards[key]
    looks, view = archive.looks(shard.chain), archive.chains.get(shard.chain)
    if view is not None and view.end is not None and view.end.at_ms < at_ms:
        raise _break(ground, key, "")
    at = bisect_right([look.at_ms for look in looks], at_ms)
    seen = looks[at - 1] if at else Look(at_ms=0, last=-1)
    if seen.last < shard.end:
        if seen.at_ms >= base.cut_ms:
            raise Refused(
                f"backup #{base.epoch} was complete only after {_time(at_ms)}",
                "name an older backup, or `latest`",
            )
        seen = Look(at_ms=base.cut_ms, last=shard.end)
    still = at < len(looks) and looks[at].last == seen.last
    return seen.last, at_ms if still else seen.at_ms


def _before(ground: _Ground, belongs: Mapping[Place, int]) -> _Cut:
    """Each log before the entry of it that is named or belongs to that; the others as they were
    when the first of these was written."""
    base, archive = ground.base, ground.archive
    for mark in _newest_first(archive.marks):
        ends = {(end.collection, end.shard): end for end in mark.ends}
        just = [
            (key, index)
            for key, index in belongs.items()
            if key in ends and ends[key].chain == base.shards[key].chain
        ]
        if len(just) == len(belongs) and all(ends[key].last == index - 1 for key, index in just):
            try:
                return _at_mark(mark, ground)
            except Refused:
                break
    windows = [window_of(archive, base.shards[key].chain, i) for key, i in belongs.items()]
    start_ms = min(window.start_ms for window in windows)
    times = [start_ms, *(window.end_ms for window in windows)]
    found = {key: index - 1 for key, index in belongs.items()}
    for key in ground.keys:
        if key not in found:
            found[key], low_ms = _seen_by(start_ms, key, ground)
            times.append(low_ms)
    return _Cut(found, start_ms, min(times), max(times))


class NewerBase(Refused):
    """The backup holds already what is asked for; an older one may serve."""


def check_behind(base: Base, key: Place, index: int) -> None:
    """Raises: NewerBase, if the entry is in the backup; NotFound, if that has no such shard."""
    shard = base.shards.get(key)
    if shard is None:
        raise NotFound(f"backup #{base.epoch} has no {_name(key)}", "see `cleancut backup log`")
    if index <= shard.end:
        raise NewerBase(
            f"entry {index} of {_name(key)} is in backup #{base.epoch} already, which holds"
            f" all up to {shard.end}",
            "name an older backup, or `latest`",
        )


def _check_entries(base: Base, archive: Archive, belongs: Mapping[Place, int]) -> None:
    """Raises: Refused, NotFound, unless all these entries are archived, and behind the base."""
    for key, index in sorted(belongs.items()):
        check_behind(base, key, index)
        shard = base.shards[key]
        view = archive.chains.get(shard.chain)
        if view is None or view.reach(index) < index:
            raise NotFound(
                f"the archive has no entry {index} of {_name(key)} behind backup #{base.epoch}",
                f"it holds {_held(view)}: see `cleancut backup log`",
            )


def _shard(ground: _Ground, key: Place, last: int, left_out: int | None) -> ShardMoment:
    """The replay of one shard. Raises: Refused, if the archive lacks an entry of it."""
    base, archive = ground.base, ground.archive
    shard, size = base.shards[key], 0
    view = archive.chains.get(shard.chain)
    if last >= shard.first:
        if view is None:
            raise Refused(f"the chain {shard.chain} of {_name(key)} is not in the archive", _OLDER)
        _check_covered(base, key, view, last)
        size = view.size_bytes(shard.first, last)
    gone = () if left_out is None else (left_out,)
    if left_out is not None and left_out > last:
        raise Refused(
            f"entry {left_out} of {_name(key)} comes after that moment, so it is not replayed",
            "leave out --without",
        )
    return ShardMoment(
        collection=key[0],
        shard_id=key[1],
        chain=shard.chain,
        first=shard.first,
        last=last,
        log_bytes=size,
        left_out=gone,
        since_ms=archive.since_ms,
        until_ms=archive.until_ms,
    )


_OLDER = "ask for an earlier moment, or name another backup: `cleancut backup list`"


def _check_covered(base: Base, key: Place, view: ChainView, last: int) -> None:
    first = base.shards[key].first
    if view.chain.first > first:
        raise Refused(
            f"the log of {_name(key)} was followed from entry {view.chain.first} on, and backup"
            f" #{base.epoch} needs it from {first} on",
            "name another backup: `cleancut backup list`",
        )
    reached = view.reach(first)
    if reached >= last:
        return
    damage = f" ({view.damage})" if view.damage else ""
    raise Refused(
        f"the archive lacks entries of {_name(key)}: {first} to {last} are needed, it holds"
        f" {_held(view)}{damage}",
        _OLDER,
    )


def _held(view: ChainView | None) -> str:
    ranges = view.ranges if view is not None else ()
    return ", ".join(f"{start} to {end}" for start, end in ranges[:3]) or "none"


def _break(ground: _Ground, key: Place, later: str) -> Refused:
    """The log was broken between a base and the moment."""
    base, archive = ground.base, ground.archive
    view = archive.chains.get(base.shards[key].chain)
    then, reason = "", ""
    if view is not None and view.end is not None:
        then, reason = f" at {_time(view.end.at_ms)}", view.end.reason
    elif later in archive.chains:
        reason = archive.chains[later].chain.reason
    last = max((m.at_ms for m in archive.marks if _has(m, base.shards[key].chain)), default=0)
    hint = f"the last moment before that: --at {_time(last)}" if last else "name another backup"
    return Refused(
        f"the log of {_name(key)} was broken{then}, between backup #{base.epoch} and that moment"
        f"{f': {reason}' if reason else ''}",
        f"{hint}; or restore a backup made after it as it is",
    )


def _has(mark: Mark, chain: str) -> bool:
    return any(end.chain == chain for end in mark.ends)


def _newest_first(marks: Sequence[Mark], until_ms: int | None = None) -> Iterator[Mark]:
    found = [mark for mark in marks if until_ms is None or mark.at_ms <= until_ms]
    yield from sorted(found, key=lambda mark: mark.at_ms, reverse=True)


# Words


def _name(key: Place) -> str:
    return f"shard {key[1]} of {key[0]!r}"


def _time(at_ms: int) -> str:
    return format_time(at_ms / 1000)


def _named_marks(marks: Sequence[Mark]) -> str:
    names = [mark.name for mark in _newest_first(marks) if mark.name][:5]
    listed = ", ".join(repr(name) for name in names)
    return f"the newest ones: {listed}" if names else "`cleancut mark NAME` makes one"
