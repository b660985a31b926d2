"""The verification log of a store: which data was read again or drilled, when, with what result.

One object a record, written once, next to the groups:
`verifications/<epoch>/<at>-<level>-<result>-<id>.json`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

from cleancut.core.format.paths import ObjectKind, Paths, parse_path
from cleancut.core.maintenance.garbage import CHECKS_KEPT
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.verification.damage import (
    NO_DAMAGE,
    Damage,
    Level,
    LogEntry,
    VerificationRecord,
    outstanding,
)
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.runtime.concurrency import run_all

_AT_ONCE = 8


async def put_check(store: Store, paths: Paths, check: VerificationRecord) -> None:
    """Raises: what the store does."""
    result = "bad" if check.problems else "good"
    name = f"{check.at}-{check.level}-{result}-{secrets.token_hex(4)}".replace(":", "")
    await store.put(paths.verification(check.epoch, name), encode(check))


async def last_read(store: Store, paths: Paths, epoch: Epoch) -> Mapping[str, float]:
    """When, in seconds since 1970, the bytes of each recipe of a group were last found right; what
    was found damaged since was never read."""
    found: dict[str, float] = {}
    lost: dict[str, float] = {}
    async for info in store.list(paths.verifications_of(epoch)):
        entry = _entry_of(paths.relative(info.path))
        check = await _load(store, info.path)
        if check is None or entry is None:
            continue  # costs a second reading and nothing else
        for recipe in check.recipes:
            found[recipe] = max(found.get(recipe, 0.0), entry.at_s)
        for recipe in check.damaged:
            lost[recipe] = max(lost.get(recipe, 0.0), entry.at_s)
    return {recipe: at_s for recipe, at_s in found.items() if at_s > lost.get(recipe, 0.0)}


async def list_checks(store: Store, paths: Paths) -> list[LogEntry]:
    """All of a cluster, by their names alone; what has another name is left out."""
    found = []
    async for info in store.list(paths.verifications):
        entry = _entry_of(paths.relative(info.path))
        found += [entry] if entry else []
    return found


async def read_damage(
    store: Store, paths: Paths, entries: Iterable[LogEntry] | None = None
) -> Damage:
    """What is known to be damaged. `entries`: of `list_checks`, if they are at hand.

    Limits: one listing, and if anything was ever found, one request for each check since.
    Raises: what the store does.
    """
    known = sorted(
        await list_checks(store, paths) if entries is None else entries, key=lambda one: one.at_s
    )
    first = next((number for number, one in enumerate(known) if not one.good), None)
    if first is None:
        return NO_DAMAGE
    since_s = known[first].at_s
    chosen = [one for one in known if one.at_s >= since_s]
    reads = [partial(_load, store, paths.root + one.path) for one in chosen]
    return outstanding(zip(chosen, await run_all(reads, _AT_ONCE), strict=True))


def newest_good(entries: Iterable[LogEntry]) -> dict[str, LogEntry]:
    """By kind, the one that went well last; that objects are present proves no data."""
    good = sorted(
        (one for one in entries if one.good and one.level.reads), key=lambda one: one.at_s
    )
    return {one.kind: one for one in good}


def superseded(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Checks that went well and say nothing that newer ones of the same backup do not. Where any
    found damage, all since then stay, as they may show its end."""
    known = sorted(entries, key=lambda one: one.at_s, reverse=True)
    since_s = min((one.at_s for one in known if not one.good), default=float("inf"))
    newer: Counter[Epoch] = Counter()
    found = []
    for one in known:
        newer[one.epoch] += 1
        if newer[one.epoch] > CHECKS_KEPT and one.at_s < since_s:
            found.append(one)
    return found


async def _load(store: Store, path: str) -> VerificationRecord | None:
    """None for one that cannot be read, or has gone meanwhile."""
    try:
        return decode(VerificationRecord, await read_document(store, path), path)
    except (Corrupt, NotFound, Refused):
        return None


def _entry_of(path: str) -> LogEntry | None:
    parsed = parse_path(path)
    parts = parsed.name.rsplit("-", 3)
    if len(parts) != 4 or parsed.kind is not ObjectKind.VERIFICATION or parsed.number is None:
        return None
    at, level, result, _ = parts
    try:
        return LogEntry(path, Epoch(parsed.number), parse_time(at), Level(level), result == "good")
    except (Corrupt, ValueError):
        return None
