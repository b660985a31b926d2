"""The groups of a store, read without etcd or coordinator: the last resort needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple, TypeVar

from cleancut.core.format.manifest import (
    CORRUPT_HINT,
    AgentDocument,
    Manifest,
    parse_manifest,
    recipes_of,
)
from cleancut.core.format.paths import ObjectKind, Paths
from cleancut.core.format.story import BACKUPS
from cleancut.core.primitives.codec import Record, decode, digest_of, encode
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.protocol.documents import AgentRestoreReport, AgentRingReport
from cleancut.core.verification.damage import NO_DAMAGE
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.short_ids import resolve_id
from cleancut.repository.verification_log import read_damage
from cleancut.runtime.concurrency import run_all

LATEST = "latest"
_AT_ONCE = 8
D = TypeVar("D", AgentRestoreReport, AgentRingReport)


class Epochs(NamedTuple):
    """Those of groups, oldest first, without those that have a tombstone. `newest`: of these too;
    0 for none. `deleted`: those that have a tombstone; `gone`: of which only that is left."""

    groups: list[Epoch]
    newest: Epoch
    gone: frozenset[Epoch] = frozenset()
    deleted: frozenset[Epoch] = frozenset()


async def read_epochs(store: Store, paths: Paths) -> Epochs:
    """All that the catalog knows of. Raises: what the store does."""
    published: set[int] = set()
    deleted: set[int] = set()
    async for info in store.list(paths.groups):
        parsed = paths.parse(info.path)
        if parsed.number is not None:
            (published if parsed.kind is ObjectKind.GROUP else deleted).add(parsed.number)
    groups = [Epoch(epoch) for epoch in sorted(published - deleted)]
    newest = Epoch(max(published | deleted, default=0))
    stones = frozenset(map(Epoch, deleted))
    return Epochs(groups, newest, stones - published, stones)


async def list_epochs(store: Store, paths: Paths) -> list[Epoch]:
    """The epochs of all published groups without a tombstone, oldest first."""
    return (await read_epochs(store, paths)).groups


async def load_group(store: Store, paths: Paths, epoch: Epoch) -> Manifest:
    """The manifest of one group.

    Raises: NotFound (never published, or deleted), Corrupt, Refused (another format).
    """
    if await store.stat(paths.tombstone(epoch)) is not None:
        raise _deleted(epoch)
    return await _load_published(store, paths, epoch)


async def _load_published(store: Store, paths: Paths, epoch: Epoch) -> Manifest:
    """As `load_group`, of an epoch that is known to have no tombstone."""
    path = paths.group(epoch)
    manifest = parse_manifest(await _read_published(store, paths, epoch), path)
    if manifest.epoch != epoch:
        raise Corrupt(f"{path} holds the manifest of epoch {manifest.epoch}", CORRUPT_HINT)
    return manifest


async def _read_published(store: Store, paths: Paths, epoch: Epoch) -> bytes:
    try:
        return await read_document(store, paths.group(epoch))
    except NotFound as error:
        raise NotFound(
            f"cluster {paths.cluster} has no backup #{epoch}", "see `cleancut backup list`"
        ) from error


def _deleted(epoch: Epoch) -> NotFound:
    return NotFound(f"backup #{epoch} was deleted", "see `cleancut backup list`")


async def read_manifest(store: Store, paths: Paths, epoch: Epoch) -> bytes:
    """The manifest of a group as it was published, whatever is in it. Raises: NotFound; Corrupt, if
    it is too large."""
    if await store.stat(paths.tombstone(epoch)) is not None:
        raise _deleted(epoch)
    return await _read_published(store, paths, epoch)


class CatalogRow(NamedTuple):
    """A published group. `manifest` None: it cannot be read, because of `error`."""

    epoch: Epoch
    manifest: Manifest | None
    error: CleancutError | None = None


async def read_row(store: Store, paths: Paths, epoch: Epoch) -> CatalogRow | None:
    """None for one that was deleted meanwhile. Raises: Unavailable, Denied and the like, which
    concern the store and not this group."""
    try:
        return CatalogRow(epoch, await _load_published(store, paths, epoch))
    except NotFound:
        return None
    except (Corrupt, Refused) as error:
        return CatalogRow(epoch, None, error)


async def read_rows(
    store: Store, paths: Paths, epochs: Sequence[Epoch]
) -> AsyncIterator[CatalogRow]:
    """The groups of `epochs`, in this order. Limits: a few manifests are read ahead."""
    for start in range(0, len(epochs), _AT_ONCE):
        reads = [partial(read_row, store, paths, one) for one in epochs[start : start + _AT_ONCE]]
        for row in await run_all(reads, _AT_ONCE):
            if row is not None:
                yield row


async def find_group(store: Store, paths: Paths, backup: str) -> Manifest:
    """The group that `backup` names, by its epoch or its operation's id (its first digits suffice),
    the newest of those; or, by "latest", the newest of all that was not imported, can be read and
    is not known damaged.

    Raises: as `load_group`.
    """
    number = whole_number(backup)
    if number is not None:
        return await load_group(store, paths, Epoch(number))
    epochs = await list_epochs(store, paths)
    if backup == LATEST:
        return await _latest(store, paths, epochs)
    backup = await resolve_id(store, paths, backup, BACKUPS)
    named = await _epochs_of(store, paths, backup)
    found = [epoch for epoch in epochs if epoch in named]
    if found:
        return await _load_published(store, paths, found[-1])
    broken: list[Epoch] = []
    async with aclosing(read_rows(store, paths, epochs[::-1])) as rows:  # type: ignore[type-var]
        async for row in rows:
            if row.manifest is None:
                broken.append(row.epoch)
            elif row.manifest.operation == backup:
                return row.manifest
    raise NotFound(
        f"cluster {paths.cluster} has no backup {backup!r}" + _unread(broken),
        "see `cleancut backup list`",
    )


async def find_latest(store: Store, paths: Paths, collections: Collection[str] = ()) -> Manifest:
    """The newest group that can be read, was not imported, is not known to be damaged and holds
    `collections`, by their names or aliases.

    Raises: NotFound.
    """
    return await _latest(store, paths, await list_epochs(store, paths), collections)


async def _latest(
    store: Store, paths: Paths, epochs: Sequence[Epoch], collections: Collection[str] = ()
) -> Manifest:
    damage = await read_damage(store, paths) if epochs else NO_DAMAGE
    passed: list[Epoch] = []
    async with aclosing(read_rows(store, paths, epochs[::-1])) as rows:  # type: ignore[type-var]
        async for row in rows:
            group = row.manifest
            if group is None or damage.affects(row.epoch, recipes_of(group)):
                passed.append(row.epoch)
            elif group.imported is not None:
                continue
            elif set(group.named(collections)) <= {entry.name for entry in group.collections}:
                return group
    raise NotFound(
        f"cluster {paths.cluster} has no backup"
        + (" that is intact" if passed else "")
        + _unread(passed),
        "see `cleancut backup list`",
    )


async def _epochs_of(store: Store, paths: Paths, operation: str) -> set[int]:
    prefix = paths.ids_of(operation)
    numbers = [whole_number(info.path.removeprefix(prefix)) async for info in store.list(prefix)]
    return {number for number in numbers if number is not None}


def _unread(epochs: Sequence[Epoch]) -> str:
    """What to say of groups that were passed over."""
    if not epochs:
        return ""
    shown = ", ".join(map(str, epochs[:5])) + (" and others" if len(epochs) > 5 else "")
    return f"; corrupt or damaged: {shown}"


async def publish_group(store: Store, paths: Paths, manifest: Manifest, data: bytes) -> None:
    """Puts `data`, the bytes of `manifest`, into the catalog; its id finds it from then on."""
    await store.put(paths.id_of(manifest.operation, manifest.epoch), b"")
    await store.put(paths.group(manifest.epoch), data)


async def newest_epoch(store: Store, paths: Paths) -> Epoch:
    """The greatest epoch that the store knows of, deleted and aborted ones included; 0 for none."""
    newest = 0
    for prefix in (paths.groups, paths.probes, paths.marks):
        async for info in store.list(prefix):
            newest = max(newest, paths.parse(info.path).number or 0)
    return Epoch(newest)


async def put_staged(store: Store, paths: Paths, epoch: Epoch, record: Record) -> str:
    """Stores `record` among the staged documents of `epoch`; its sha256, which names it."""
    data, sha256 = encode(record), digest_of(record)
    await store.put(paths.staged(epoch, sha256), data)
    return sha256


async def put_votes_document(
    store: Store, paths: Paths, document: AgentDocument | AgentRestoreReport | AgentRingReport
) -> str:
    """Stores what an agent found in an epoch; its sha256, which its vote names."""
    data, sha256 = encode(document), digest_of(document)
    await store.put(paths.votes_document(document.epoch, document.agent, sha256), data)
    return sha256


async def read_votes_documents(
    store: Store,
    paths: Paths,
    kind: type[D],
    documents: Sequence[tuple[AgentName, str]],
    *,
    epoch: Epoch,
) -> list[D]:
    """What agents found in an epoch. `documents`: each with the sha256 that its vote names.

    Raises: NotFound, Corrupt.
    """
    found: list[D] = []
    for agent, sha256 in documents:
        path = paths.votes_document(epoch, agent, sha256)
        found.append(decode(kind, await get_checked(store, path, sha256), path))
    return found


async def get_checked(store: Store, path: str, sha256: str) -> bytes:
    """The object at `path`, if its sha256 is the expected one. Raises: NotFound, Corrupt."""
    data = await read_document(store, path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt(f"{path} does not have the sha256 that was recorded for it")
    return data
