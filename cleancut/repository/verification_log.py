"""The verification log of a store: which data was read again or drilled, when, with what result.

One object a record, written once, next to the groups:
`verifications/<epoch>/<at>-<kind>-<result>-<id>.json`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from cleancut import __version__
from cleancut.core.format.paths import ObjectKind, Paths, parse_path
from cleancut.core.primitives.codec import Record, decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time
from cleancut.ports.store import Store


class CheckKind(StrEnum):
    VERIFY = "verify"
    DRILL = "drill"


class VerificationRecord(Record, frozen=True):
    """One of them, or, where it takes long, a part of it. `recipes`: of the shards whose bytes were
    read and were right. `problems`: for people; none: all was well. `recall`: of a drill, -1 if
    none was measured."""

    kind: CheckKind
    epoch: Epoch
    at: str
    by: str = f"cleancut {__version__}"
    recipes: tuple[str, ...] = ()
    read_bytes: int = 0
    problems: tuple[str, ...] = ()
    recall: float = -1.0


class LogEntry(NamedTuple):
    """The contents of a log object's name. `path`: under the cluster's folder."""

    path: str
    epoch: Epoch
    at_s: float
    kind: str
    good: bool


async def put_check(store: Store, paths: Paths, check: VerificationRecord) -> None:
    """Raises: what the store does."""
    result = "bad" if check.problems else "good"
    name = f"{check.at}-{check.kind}-{result}-{secrets.token_hex(4)}".replace(":", "")
    await store.put(paths.verification(check.epoch, name), encode(check))


async def last_read(store: Store, paths: Paths, epoch: Epoch) -> Mapping[str, float]:
    """When, in seconds since 1970, the bytes of each recipe of a group were last found right."""
    found: dict[str, float] = {}
    async for info in store.list(paths.verifications_of(epoch)):
        try:
            check = decode(VerificationRecord, await store.get(info.path), info.path)
        except (Corrupt, NotFound):
            continue  # costs a second reading and nothing else
        for recipe in check.recipes:
            found[recipe] = max(found.get(recipe, 0.0), parse_time(check.at))
    return found


async def list_checks(store: Store, paths: Paths) -> list[LogEntry]:
    """All of a cluster, by their names alone; what has another name is left out."""
    found = []
    async for info in store.list(paths.verifications):
        entry = _entry_of(paths.relative(info.path))
        found += [entry] if entry else []
    return found


def newest_good(entries: Iterable[LogEntry]) -> dict[str, LogEntry]:
    """By kind, the one that went well last."""
    good = sorted((one for one in entries if one.good), key=lambda one: one.at_s)
    return {one.kind: one for one in good}


def _entry_of(path: str) -> LogEntry | None:
    parsed = parse_path(path)
    parts = parsed.name.rsplit("-", 3)
    if len(parts) != 4 or parsed.kind is not ObjectKind.VERIFICATION or parsed.number is None:
        return None
    at, kind, result, _ = parts
    try:
        return LogEntry(path, Epoch(parsed.number), parse_time(at), kind, result == "good")
    except Corrupt:
        return None
