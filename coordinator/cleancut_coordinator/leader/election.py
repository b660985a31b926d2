"""Who leads: one leased key, whose create_revision is the token that guards every write."""

from __future__ import annotations

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import LeaseLost, Unavailable
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import Leader
from cleancut.ports.coordination import Compacted, Created, Lease, Put
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_fatal

TTL_S = 10.0


async def campaign(context: CoordinatorContext, lease: Lease, address: str) -> FencingToken:
    """Waits until this process leads. Returns its token.

    Raises: LeaseLost, if the own lease ended meanwhile.
    """
    key = context.keys.leader
    while True:
        if not lease.alive():
            raise LeaseLost("the coordinator's lease ended while it stood by")
        me = Leader(name=context.name, address=address, nonce=context.token_hex(8))
        result = await context.etcd.txn([Created(key, 0)], [Put(key, encode(me), lease=lease.id)])
        if result.applied:
            return FencingToken(result.revision)
        found = await context.etcd.get(key)
        if found is not None and found.lease == lease.id:
            return FencingToken(found.create_revision)  # an earlier try arrived after all
        if found is not None:
            await _wait_vacant(context, lease.id)


async def _wait_vacant(context: CoordinatorContext, own: int) -> None:
    """Returns when there is no leader, or when an own earlier try has arrived after all."""
    key = context.keys.leader
    listing = await context.etcd.list(key)
    if not any(item.key == key and item.lease != own for item in listing.items):
        return
    try:
        async for changes in context.etcd.watch(key, listing.revision + 1):
            if any(change.deleted or change.kv.lease == own for change in changes):
                return
    except (Compacted, Unavailable):
        return  # the next attempt decides


async def read_leader(context: CoordinatorContext) -> Leader | None:
    """Who leads now, as etcd has it."""
    return await read_fatal(context, context.keys.leader, Leader)
