"""The groups of a store, read without etcd or coordinator: the last resort needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from cleancut.core.format.manifest import AgentDocument, Manifest, parse_manifest
from cleancut.core.format.paths import ObjectKind, Paths
from cleancut.core.primitives.codec import Record, digest_of, encode
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.replica_reports import AgentRestoreReport
from cleancut.ports.store import Store

LATEST = "latest"


class Epochs(NamedTuple):
    """Those of groups, oldest first, without those that have a tombstone. `newest`: of these too;
    0 for none."""

    groups: list[Epoch]
    newest: Epoch


async def read_epochs(store: Store, paths: Paths) -> Epochs:
    """All that the catalog knows of. Raises: what the store does."""
    published: set[int] = set()
    deleted: set[int] = set()
    async for info in store.list(paths.groups):
        parsed = paths.parse(info.path)
        if parsed.number is not None:
            (published if parsed.kind is ObjectKind.GROUP else deleted).add(parsed.number)
    groups = [Epoch(epoch) for epoch in sorted(published - deleted)]
    return Epochs(groups, Epoch(max(published | deleted, default=0)))


async def list_epochs(store: Store, paths: Paths) -> list[Epoch]:
    """The epochs of all published groups without a tombstone, oldest first."""
    return (await read_epochs(store, paths)).groups


async def load_group(store: Store, paths: Paths, epoch: Epoch) -> Manifest:
    """The manifest of one group.

    Raises: NotFound (never published, or deleted), Corrupt, Refused (another format).
    """
    if await store.stat(paths.tombstone(epoch)) is not None:
        raise NotFound(f"backup #{epoch} was deleted", "see `cleancut backup list`")
    try:
        data = await store.get(paths.group(epoch))
    except NotFound as error:
        raise NotFound(f"there is no backup #{epoch}", "see `cleancut backup list`") from error
    manifest = parse_manifest(data, paths.group(epoch))
    if manifest.epoch != epoch:
        raise Corrupt(f"{paths.group(epoch)} holds the manifest of epoch {manifest.epoch}")
    return manifest


async def find_group(store: Store, paths: Paths, backup: str) -> Manifest:
    """The group that `backup` names, by its epoch or its operation's id, the newest of those; or
    the newest of all, by "latest".

    Raises: as `load_group`.
    """
    if backup.isdigit():
        return await load_group(store, paths, Epoch(int(backup)))
    async for group in list_groups(store, paths):
        if backup in {group.operation, LATEST}:
            return group
    raise NotFound(
        f"cluster {paths.cluster} has no backup {backup!r}", "see `cleancut backup list`"
    )


async def list_groups(store: Store, paths: Paths) -> AsyncIterator[Manifest]:
    """All groups, newest first; a broken one raises, as in `load_group`."""
    for epoch in reversed(await list_epochs(store, paths)):
        yield await load_group(store, paths, epoch)


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
    store: Store, paths: Paths, document: AgentDocument | AgentRestoreReport
) -> str:
    """Stores what an agent found in an epoch; its sha256, which its vote names."""
    data, sha256 = encode(document), digest_of(document)
    await store.put(paths.votes_document(document.epoch, document.agent, sha256), data)
    return sha256


async def get_checked(store: Store, path: str, sha256: str) -> bytes:
    """The object at `path`, if its sha256 is the expected one. Raises: NotFound, Corrupt."""
    data = await store.get(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt(f"{path} does not have the sha256 that was recorded for it")
    return data
