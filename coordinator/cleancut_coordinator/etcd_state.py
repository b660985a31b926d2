"""State of the cluster in etcd, read: the control record, sessions, any records under a prefix."""

from __future__ import annotations

from typing import TypeVar

from cleancut.core.archive.plan import ArchivePlan, ArchiveSettings, ArchiveState, RoundRequest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Fenced, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.protocol.etcd_records import Ctl, Operation, Session
from cleancut.core.protocol.followers import waits_for_reshards
from cleancut.core.protocol.states import Phase, State
from cleancut.ports.coordination import KeyValue
from cleancut_coordinator.context import CoordinatorContext

R = TypeVar("R")


async def read_ctl(context: CoordinatorContext) -> Ctl:
    """The control record; that of an idle cluster, if there is none yet."""
    return await read_fatal(context, context.keys.ctl, Ctl) or Ctl()


async def check_phase(context: CoordinatorContext, epoch: Epoch, *phases: Phase) -> None:
    """Raises: Fenced, if the attempt has left the phases to which an effect belongs: a leader that
    was suspended must not change anything after its successor has gone on."""
    ctl = await read_ctl(context)
    if ctl.epoch != epoch or ctl.phase not in phases:
        raise Fenced(f"epoch {epoch} is no longer in {' or '.join(phases)}")


async def check_restored(
    context: CoordinatorContext, restore: OperationId, *, reshards: bool = False
) -> None:
    """Raises: Refused, unless this restore, which another operation follows, is done, or
    waits for its `reshards`; "": none."""
    if not restore:
        return
    found = await read_record(context, context.keys.operation(restore), Operation)
    state = found.state if found else State.ABORTED
    waits = reshards and found is not None and waits_for_reshards(found)
    if state is not State.DONE and not waits:
        raise Refused(
            f"restore {restore} is {state}, so there is nothing of it to rebalance or reshard",
            "restore again, with the same flags",
        )


async def read_sessions(context: CoordinatorContext) -> dict[AgentName, Session]:
    """All live sessions, by agent."""
    sessions = await read_all(context, context.keys.sessions, Session)
    return {session.name: session for session in sessions}


async def read_operations(context: CoordinatorContext) -> list[Operation]:
    """All operations that etcd still holds."""
    return await read_all(context, context.keys.operations, Operation)


async def read_archive_plan(context: CoordinatorContext) -> ArchivePlan:
    """Which agent follows which shard; an empty plan, if there is none yet."""
    found = await read_record(context, context.keys.archive_plan, ArchivePlan)
    return found or ArchivePlan(chunk_s=ArchiveSettings().chunk_s)


async def read_archive_states(context: CoordinatorContext) -> list[ArchiveState]:
    """What agents said of the archive last, also those that are away."""
    return await read_all(context, context.keys.archive_states, ArchiveState)


async def read_marked_ms(context: CoordinatorContext) -> int:
    """When the newest mark of the archive was taken; 0: none was."""
    found = await read_record(context, context.keys.archive_round, RoundRequest)
    return found.marked_ms if found else 0


async def read_fatal(context: CoordinatorContext, key: str, kind: type[R]) -> R | None:
    """The record under `key`, without which nothing can go on. Raises: Corrupt."""
    found = await context.etcd.get(key)
    return decode(kind, found.value, key) if found else None


async def read_record(context: CoordinatorContext, key: str, kind: type[R]) -> R | None:
    """The record under `key`; None also for one that cannot be decoded, which is reported."""
    found = await context.etcd.get(key)
    return decode_or_skip(context, kind, found) if found else None


async def read_all(context: CoordinatorContext, prefix: str, kind: type[R]) -> list[R]:
    """All records under `prefix`; one that cannot be decoded is skipped and reported."""
    listing = await context.etcd.list(prefix)
    found = (decode_or_skip(context, kind, item) for item in listing.items)
    return [record for record in found if record is not None]


def decode_or_skip(context: CoordinatorContext, kind: type[R], item: KeyValue) -> R | None:
    """The record; None for one that cannot be decoded: one bad record must not stop the rest."""
    return context.skipped.read(kind, item.key, item.value)
