"""Names that TAB completes: backups, collections, schedules, labels, reasons, operations and peers.

Asked of the coordinator, or read from the store if a flag names one. Limits: 1.5 s; silent, with
nothing to complete, if there is no answer by then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from cleancut.cli.settings import Settings, settings_of
from cleancut.cli.terminal import drop_out
from cleancut.core.primitives.errors import CleancutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cleancut.api.backups import Backup
    from cleancut.api.operations import Operation
    from cleancut.client.client import Client
    from cleancut.core.format.paths import Paths
    from cleancut.ports.store import Store

WAIT_S = 1.0
GRACE_S = 0.5
"""For what cannot be canceled, such as a thread that waits for an object store."""
SHOWN = 50


class Name(NamedTuple):
    """What is completed, and what a shell shows next to it."""

    text: str
    about: str = ""


def complete(kind: str, context: click.Context, incomplete: str) -> list[CompletionItem]:
    """`kind`: a key of `_ASKED` or `_READ`."""
    settings = settings_of(context)
    drop_out(sys.stderr)  # a shell shows it between the words that are typed
    with _bounded():
        try:
            names = _names(kind, settings)
        except (CleancutError, OSError, click.ClickException):
            names = []
    start = incomplete.removeprefix("#")
    found = {name.text: name for name in names if name.text and name.text.startswith(start)}
    return [CompletionItem(name.text, help=name.about or None) for name in found.values()]


@contextmanager
def _bounded() -> Iterator[None]:
    """Ends the process, silently, if the block takes longer than the wait and its grace."""
    before = signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, WAIT_S + GRACE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _names(kind: str, settings: Settings) -> list[Name]:
    if not settings.offline:
        return asyncio.run(_ask(kind, settings))
    if kind not in _READ:
        return []
    from cleancut.cli.offline import with_store

    return with_store(settings, _READ[kind])


async def _ask(kind: str, settings: Settings) -> list[Name]:
    async with asyncio.timeout(WAIT_S), settings.client() as client:
        return await _ASKED[kind](client)


async def _read_backups(store: Store, paths: Paths) -> list[Name]:
    from cleancut.repository.catalog import list_epochs

    newest = sorted(await list_epochs(store, paths), reverse=True)[:SHOWN]
    return [*(Name(str(epoch)) for epoch in newest), Name("latest")]


async def _read_collections(store: Store, paths: Paths) -> list[Name]:
    from cleancut.repository.catalog import find_group

    manifest = await find_group(store, paths, "latest")
    return [Name(entry.name) for entry in manifest.collections]


async def _backups(client: Client) -> list[Name]:
    page = await client.list_backups(SHOWN)
    known = [Name(str(one.epoch), _about(one)) for one in page.backups if one.epoch]
    return [*known, Name("latest"), *(Name(one.id) for one in page.backups if not one.epoch)]


def _about(backup: Backup) -> str:
    from cleancut.api.state_words import state_of

    return " ".join(filter(None, (str(state_of(backup)), backup.cut_at)))


async def _collections(client: Client) -> list[Name]:
    page = await client.list_backups(SHOWN)
    return [
        Name(name) for name in sorted({name for one in page.backups for name in one.collections})
    ]


async def _reasons(client: Client) -> list[Name]:
    page = await client.list_backups(SHOWN)
    return [Name(one, f"#{backup.epoch}") for backup in page.backups for one in backup.holds]


async def _label_keys(client: Client) -> list[Name]:
    page = await client.list_backups(SHOWN)
    keys = sorted({key for backup in page.backups for key in backup.labels})
    return [Name(f"{key}=") for key in keys]


async def _schedules(client: Client) -> list[Name]:
    listed = await client.list_schedules()
    return [Name(one.name, one.cron) for one in listed.schedules]


async def _restores(client: Client) -> list[Name]:
    return [_operation(one) for one in (await client.list_restores(SHOWN)).restores]


async def _reshards(client: Client) -> list[Name]:
    return [_operation(one) for one in (await client.list_reshards(SHOWN)).reshards]


async def _undeletes(client: Client) -> list[Name]:
    return [_operation(one) for one in (await client.list_undeletes(SHOWN)).undeletes]


async def _rebalances(client: Client) -> list[Name]:
    return [_operation(one) for one in (await client.list_rebalances(SHOWN)).rebalances]


def _operation(operation: Operation) -> Name:
    from cleancut.api.state_words import state_of

    return Name(operation.id, str(state_of(operation)))


async def _peers(client: Client) -> list[Name]:
    status = await client.cluster_status()
    return [Name(str(one.peer_id), one.name) for one in status.agents if one.peer_id is not None]


_ASKED: dict[str, Callable[[Any], Awaitable[list[Name]]]] = {
    "backups": _backups,
    "collections": _collections,
    "reasons": _reasons,
    "label_keys": _label_keys,
    "schedules": _schedules,
    "restores": _restores,
    "reshards": _reshards,
    "rebalances": _rebalances,
    "undeletes": _undeletes,
    "peers": _peers,
}
_READ: dict[str, Callable[[Any, Any], Awaitable[list[Name]]]] = {
    "backups": _read_backups,
    "collections": _read_collections,
}
