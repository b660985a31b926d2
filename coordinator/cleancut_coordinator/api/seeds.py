"""Seeds as the API sees them: backups that make no group."""

from __future__ import annotations

from cleancut.api.backups import Backup, BackupBytes, Seed
from cleancut.api.operations import shown_error
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import Operation, Seeded
from cleancut.core.protocol.requests import MAX_STREAMS, SeedRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut_coordinator.api.cluster_status import read_progress
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leader.term import LeaderTerm


class Seeds:
    """The part of `cleancut_coordinator.api.interface.Operations` that stores ahead of backups."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    def leading(self) -> tuple[FencingToken, LeaderTerm]:
        raise AssertionError("known by the whole class")

    async def seed_backup(self, request: SeedRequest, request_id: str) -> Backup:
        token, term = self.leading()
        requests.check_request(request.collections, request.attempts)
        if not 1 <= request.streams <= MAX_STREAMS:
            raise Invalid(f"streams must be from 1 to {MAX_STREAMS}")
        await check_store_owner(self._context)
        operation = await requests.record(
            self._context, token, OperationKind.SEED, request=request, request_id=request_id
        )
        term.poke()
        return await shown_seed(self._context, operation)


async def shown_seed(context: CoordinatorContext, operation: Operation) -> Backup:
    """The seed as it is now."""
    request = decode(SeedRequest, operation.request.encode(), "the request")
    done, over = operation.seeded or Seeded(), operation.state in FINAL_STATES
    return Backup(
        id=operation.id,
        epoch=operation.epoch,
        state=operation.state,
        created_at=operation.created_at or None,
        ended_at=operation.ended_at or None,
        collections=request.collections,
        bytes=BackupBytes(new=done.new_bytes, stored=done.stored_bytes),
        attempt=operation.attempts,
        attempts=request.attempts,
        error=shown_error(operation.failure),
        progress=() if over else await read_progress(context, operation.epoch),
        seed=Seed(streams=request.streams, shards=done.shards, read=done.read_bytes),
    )
