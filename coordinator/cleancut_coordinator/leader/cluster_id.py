"""Cluster id: random, kept in etcd and as the owner of the store; the two must be equal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cleancut.core.format.paths import COORDINATOR_PROBE
from cleancut.core.format.recipe import check_format, encode_format
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, Fenced, NotFound, Refused
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Owner, ProbeObject
from cleancut.core.protocol.high_water import NO_OWNER, NO_OWNER_HINT
from cleancut.ports.coordination import Created, Put
from cleancut.repository.bounded import read_document
from cleancut.repository.store_format import prove_format
from cleancut.store.keyring import ensure_data_key
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import LeaderState

DAMAGED = "damaged"
"""Stands for the owner of a store whose record is damaged: equal to none, until it is adopted."""


@dataclass(frozen=True, slots=True)
class Identities:
    """`owner_number` 0: the store has no owner yet."""

    cluster_id: str
    owner_id: str
    owner_number: int

    @property
    def equal(self) -> bool:
        return bool(self.cluster_id) and self.cluster_id == self.owner_id


async def read_identities(context: CoordinatorContext) -> Identities:
    """What etcd and the store say now."""
    found = await context.etcd.get(context.keys.id)
    number, owner = await _read_owner(context)
    return Identities(found.value.decode(errors="replace") if found else "", owner, number)


async def _read_owner(context: CoordinatorContext) -> tuple[int, str]:
    newest = 0
    async for info in context.store.list(context.paths.owners):
        newest = max(newest, context.paths.parse(info.path).number or 0)
    if newest == 0:
        return 0, ""
    path = context.paths.owner(newest)
    try:
        return newest, decode(Owner, await read_document(context.store, path), path).cluster_id
    except Corrupt:
        return newest, DAMAGED


async def establish(context: CoordinatorContext, token: FencingToken) -> Identities:
    """Gives a new cluster its id, and an unowned store its owner and its format. A cluster that has
    begun operations before takes no store by itself: an empty one where its backups should be may
    be a disk that is not mounted.

    Raises: Fenced (not the leader any more); Refused, Denied or Corrupt, if the store has another
        format, or is encrypted and no key opens it.
    """
    if await context.etcd.get(context.keys.id) is None:
        put = Put(context.keys.id, context.token_hex(16).encode())
        created = await LeaderState(context, token).txn([put], Created(context.keys.id, 0))
        if not created.applied:
            raise Fenced("another coordinator leads now")
    now = await _establish_format(context)
    if now.owner_number or await context.etcd.get(context.keys.epoch) is not None:
        return now
    return await write_owner(context, now)


async def _establish_format(context: CoordinatorContext) -> Identities:
    """A store with an owner that lost its format gets it again only if its backups prove it."""
    store, paths = context.store, context.paths
    source = context.key_source  # only a command may take long
    keys = await asyncio.to_thread(source.read) if source.command else source.read()
    try:
        check_format(await store.get(paths.format), encrypted=bool(keys))
        return await read_identities(context)
    except NotFound:
        now = await read_identities(context)
    if now.owner_number:
        await prove_format(store, paths, encrypted=bool(keys))
    if keys:
        await ensure_data_key(store, paths, keys, context.clock.wall_s())
    await store.put(paths.format, encode_format(encrypted=bool(keys)))
    return now


async def write_owner(context: CoordinatorContext, now: Identities) -> Identities:
    """Makes this cluster the store's owner. Order: repeatable."""
    if not now.equal:
        path = context.paths.owner(now.owner_number + 1)
        await context.store.put(path, encode(Owner(cluster_id=now.cluster_id)))
    return await read_identities(context)


async def check_store_owner(context: CoordinatorContext) -> Identities:
    """Raises: Refused, unless the store belongs to this cluster."""
    now = await read_identities(context)
    if not now.owner_number:
        raise Refused(NO_OWNER, NO_OWNER_HINT)
    if not now.equal:
        raise Refused(
            f"the store belongs to another cluster ({now.owner_id[:8] or 'none'}), "
            f"this one is {now.cluster_id[:8]}",
            "check --store and --cluster; `cleancut adopt` takes the store over for good",
            owner=now.owner_id,
        )
    return now


async def put_probe(context: CoordinatorContext, probe: Probe) -> None:
    """Writes the object by which agents prove that they see the coordinator's store.

    Raises: Unavailable, Denied, Refused, if the store rejects it.
    """
    path = context.paths.probe(probe.epoch, COORDINATOR_PROBE)
    found = ProbeObject(nonce=probe.nonce, selection=probe.selection)
    await context.store.put(path, encode(found))
