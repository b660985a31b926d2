"""Validation of API requests, before they reach a service; a name that is wrong costs no epoch and
no alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from msgspec import structs

from cleancut.api.archive import LogQuery
from cleancut.api.interface import Api, PageRequest
from cleancut.api.restores import RestoreOptions
from cleancut.api.wire import from_message
from cleancut.core.backup.assignment import not_there
from cleancut.core.primitives.errors import Invalid, Refused, TimedOut, Unavailable
from cleancut.core.primitives.ids import check_collection_name
from cleancut.core.protocol.fence import ALIAS, aliases_in_use, leftover_fences
from cleancut.core.protocol.requests import (
    BackupRequest,
    SeedRequest,
    check_attempts,
    check_selection,
    check_streams,
    with_targets,
)
from cleancut.core.wal.kinds import KINDS, UNKNOWN
from cleancut.rpc.statuses import not_leader
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

_PAGE_SIZE, _PAGE_LIMIT = 50, 500
_PAGE_TOKEN_LIMIT = 80
_MAX_WITHIN_S = 10 * 366 * 86400.0
_MAX_COLLECTIONS = 1000
_MAX_SHARDS = 1000
_MAX_FENCES = 100
_READ_S = 3.0
_LOG_SIZE, _LOG_LIMIT, _GREP_LIMIT = 100, 10_000, 1_000


def require_leader(api: Api) -> None:
    """Raises: on a standby, an error that names the address of the leader."""
    address = api.leader_address()
    if address is not None:
        raise not_leader(address, api.trouble())


def operation_name(name: str) -> str:
    if not name or len(name) > 128 or not name.isascii() or not name.isprintable():
        raise Invalid("id must be an operation id or an epoch", "see `backup list`")
    return name


def request_id_of(text: str) -> str:
    if not text or len(text) > 64 or not all(c.isalnum() or c == "-" for c in text):
        raise Invalid("request_id must be 1-64 letters, digits and dashes", "use a new UUID")
    return text


def collections_of(names: Any) -> tuple[str, ...]:
    if len(names) > _MAX_COLLECTIONS:
        raise Invalid(f"{len(names)} collections named, {_MAX_COLLECTIONS} at most", "name none")
    return tuple(sorted({check_collection_name(name) for name in names}))


def excluded_of(names: Any) -> tuple[str, ...]:
    """Any name may be excluded, also one that could not be backed up."""
    if len(names) > _MAX_COLLECTIONS:
        raise Invalid(f"{len(names)} collections excluded, {_MAX_COLLECTIONS} at most")
    return tuple(sorted(set(names)))


def verify_of(request: Any) -> dict[str, Any]:
    """What a verification reads."""
    if request.read_percent > 100 or (request.quick and request.read_percent):
        raise Invalid("read_percent is from 1 to 100, and nothing if `quick` is set")
    if not 0 <= request.within_s <= _MAX_WITHIN_S:
        raise Invalid(f"within_s is from 0 to {_MAX_WITHIN_S:.0f}")
    return {
        "quick": request.quick,
        "read_percent": request.read_percent,
        "within_s": request.within_s,
    }


def options_of(message: Any) -> RestoreOptions:
    collections_of(message.collections)
    if len(message.renames) > _MAX_COLLECTIONS or len(message.only_shards) > _MAX_SHARDS:
        raise Invalid("too many renames or shards named", "restore in parts")
    if len(message.shards) > _MAX_SHARDS:
        raise Invalid("too many numbers of shards given", "restore in parts")
    return from_message(message, RestoreOptions)


def log_query_of(message: Any) -> LogQuery:
    check_collection_name(message.collection)
    unknown = sorted(set(message.kinds) - KINDS - {UNKNOWN})
    if unknown:
        raise Invalid(
            f"unknown kind of operation {unknown[0]!r}", f"use {', '.join(sorted(KINDS))}"
        )
    if message.limit > _LOG_LIMIT:
        raise Invalid(f"{message.limit} operations asked for", f"at most {_LOG_LIMIT}")
    if len(message.grep) > _GREP_LIMIT:
        raise Invalid("the text to look for is too long", f"use {_GREP_LIMIT} characters at most")
    query = from_message(message, LogQuery)
    return query if query.limit else structs.replace(query, limit=_LOG_SIZE)


def fence_of(words: Any) -> tuple[str, ...]:
    if len(words) > _MAX_FENCES:
        raise Invalid(f"{len(words)} fences asked for, {_MAX_FENCES} at most")
    return tuple(sorted(set(words)))


def attempts_of(number: int) -> int:
    """The attempts that a request asks for, or the default for 0. Raises: Invalid."""
    return check_attempts(number or BackupRequest().attempts)


def streams_of(number: int) -> int:
    """The streams that a request asks for, or the default for 0. Raises: Invalid."""
    return check_streams(number or SeedRequest().streams)


def page_of(request: Any, *, all_: bool = False) -> PageRequest:
    token = request.page_token
    known = token.isascii() and all(c.isalnum() or c in "-_.:" for c in token)
    if not known or len(token) > _PAGE_TOKEN_LIMIT:
        raise Invalid("invalid page_token: no list returned it", "list again without page_token")
    size = min(request.page_size or _PAGE_SIZE, _PAGE_LIMIT)
    return PageRequest(size, request.page_token, all_)


async def check_named(context: CoordinatorContext, request: BackupRequest) -> None:
    """Returns if a backup of the named collections may begin; unless Qdrant answers, it may.

    Raises: NotFound, Invalid (named and excluded), Refused (a fence that cannot be raised).
    """
    check_selection(request.collections, request.exclude)
    fenced = [word.removeprefix(ALIAS) for word in request.fence if word.startswith(ALIAS)]
    if not request.collections and not fenced:
        return
    try:
        there = await ask_any(context.peers, lambda peer: peer.collections(_READ_S))
        aliases = await ask_any(context.peers, lambda peer: peer.aliases(_READ_S))
    except (Unavailable, TimedOut):
        return
    behind = aliases_in_use(aliases, there)
    check_names(request.collections, there, behind, may_miss=request.allow_missing)
    check_selection(
        with_targets(request.collections, behind), with_targets(request.exclude, behind)
    )
    check_fenced(fenced, there, aliases)


def check_fenced(fenced: Sequence[str], there: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Raises: Refused, unless all to be fenced are aliases, also while a backup fences them."""
    known = {*aliases, *(each.alias for each in leftover_fences(aliases))}
    for name in fenced:
        if name in known:
            continue
        own = sorted(alias for alias, of in aliases.items() if of == name and alias in known)
        if name in there:
            raise Refused(
                f"cannot fence {name!r}: it is a collection, not an alias",
                f"fence an alias that clients write by: {', '.join(own) or 'it has none'}",
            )
        close = get_close_matches(name, known, n=1)
        shown = ", ".join(sorted(known)[:5]) or "none"
        raise Refused(
            f"cannot fence {name!r}: the alias does not exist",
            f"did you mean {close[0]!r}?" if close else f"the aliases are: {shown}",
        )


def check_names(
    names: Sequence[str], there: Sequence[str], aliases: Mapping[str, str], *, may_miss: bool
) -> None:
    """Raises: NotFound, unless those that are neither collections nor aliases of one `may_miss`."""
    known = sorted({*there, *aliases})
    for name in names:
        if aliases.get(name, name) not in there and not may_miss:
            close = get_close_matches(name, known, n=1)
            shown = ", ".join(known[:5]) or "none"
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {shown}"
            raise not_there(name, aliases, hint)
