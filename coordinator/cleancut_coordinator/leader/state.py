"""State of the leader in etcd: its reads, and its writes under the guard of its token."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from cleancut.core.maintenance.stories import may_leave_etcd
from cleancut.core.primitives.codec import Record, decode, encode, pack
from cleancut.core.primitives.errors import Fenced
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    Sha256,
    format_epoch,
)
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.commands import Decide, Persist
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.core.protocol.etcd_records import (
    Awaited,
    Ctl,
    EpochMember,
    Failure,
    Group,
    Operation,
    Session,
    Vote,
)
from cleancut.core.protocol.events import TakenOver
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.followers import (
    reshards_of_canceled,
    waits_for_another,
    waits_for_reshards,
)
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State
from cleancut.core.protocol.votes import CANCELLED
from cleancut.core.reshard.phases import with_number
from cleancut.core.reshard.turns import held_up
from cleancut.core.undelete.phases import with_points
from cleancut.ports.clock import Clock
from cleancut.ports.coordination import (
    Created,
    Delete,
    DeleteRange,
    Guard,
    KeyValue,
    Modified,
    Op,
    Put,
    TxnResult,
    UnchangedSince,
)
from cleancut.repository.catalog import newest_epoch
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import decode_or_skip

_AT_ONCE = 100
_PART_BYTES = 400_000
"""Of members in one request: etcd takes 1.5 MiB by default."""
_LAST_ATTEMPT = 1_000_000
R = TypeVar("R", bound=Record)
N = TypeVar("N")
_PENDING = frozenset({State.PENDING})
_UNENDED = frozenset(State) - FINAL_STATES


class LeaderState:
    """Reads and writes of one term. It keeps the revision of `ctl` that guards the next write."""

    def __init__(self, context: CoordinatorContext, token: FencingToken) -> None:
        self._context, self._token = context, token
        self._etcd, self._keys = context.etcd, context.keys
        self._ctl_revision = 0

    def _nonce(self) -> str:
        return self._context.token_hex(8)

    # Guarded writes

    async def txn(self, ops: Sequence[Op], *guards: Guard) -> TxnResult:
        """Applies `ops` if this term still leads and `guards` hold."""
        return await self._etcd.txn([Created(self._keys.leader, self._token), *guards], list(ops))

    async def put(self, key: str, record: Record) -> int:
        """The revision at which it was written. Raises: Fenced, if another coordinator leads."""
        return await self._write(Put(key, pack(record)))

    async def delete(self, key: str) -> None:
        """Raises: Fenced, if another coordinator leads."""
        await self._write(Delete(key))

    async def delete_all(self, keys: Sequence[str]) -> None:
        """Order: not at once, if there are many. Raises: Fenced, if another coordinator leads."""
        for part in _parts([Delete(key) for key in keys]) if keys else ():
            if not (await self.txn(part)).applied:
                raise _deposed()

    async def _write(self, op: Op) -> int:
        result = await self.txn([op])
        if not result.applied:
            raise _deposed()
        return result.revision

    # The attempt

    async def load(self) -> TakenOver:
        """What is persisted now. Raises: Fenced, if another coordinator leads."""
        leader = await self._etcd.get(self._keys.leader)
        if leader is None or leader.create_revision != self._token:
            raise _deposed()
        found = await self._etcd.get(self._keys.ctl)
        if found is None:
            self._ctl_revision = 0
            return TakenOver(Ctl(), None, {}, {})
        self._ctl_revision = found.mod_revision
        ctl = decode(Ctl, found.value, found.key)
        members = await self._etcd.list(self._keys.members(ctl.epoch))
        votes = await self._etcd.list(self._keys.votes(ctl.epoch))
        fence = await self._etcd.get(self._keys.fence(ctl.epoch))
        return TakenOver(
            ctl,
            await self._operation_of(ctl),
            self._decoded(EpochMember, members.items, agent_of),
            {
                key[1:]: vote
                for item in votes.items
                if (key := self._keys.parse_vote(item.key))
                if (vote := decode_or_skip(self._context, Vote, item)) is not None
            },
            decode_or_skip(self._context, Fence, fence) if fence else None,
            self._context.clock.wall_s(),
        )

    def _decoded(
        self, kind: type[R], items: Sequence[KeyValue], name: Callable[[str], N]
    ) -> dict[N, R]:
        """By name; what cannot be decoded is skipped and reported."""
        records = {name(item.key): decode_or_skip(self._context, kind, item) for item in items}
        return {key: record for key, record in records.items() if record is not None}

    async def _operation_of(self, ctl: Ctl) -> Operation | None:
        """The record of the open operation; one that never repeats, if it is lost or broken."""
        if not ctl.operation:
            return None
        lost = Operation(
            id=ctl.operation,
            kind=ctl.kind,
            state=State.PENDING,
            request="{}",
            epoch=ctl.epoch,
            attempts=_LAST_ATTEMPT,
        )
        return await self.operation(ctl.operation) or lost

    async def ctl_moved(self) -> bool:
        """True if `ctl` is not as this term wrote or read it: etcd went back."""
        found = await self._etcd.get(self._keys.ctl)
        return (found.mod_revision if found else 0) != self._ctl_revision

    async def persist(self, command: Persist, epoch: Epoch) -> bool:
        """Writes it, members under `epoch`. False, if a guard refused."""
        puts: list[Op] = [
            Put(self._keys.member(epoch, name), pack(replace(member, nonce=self._nonce())))
            for name, member in sorted(command.members.items())
        ]
        last: list[Op] = []
        if command.operation is not None:
            last.append(self._put_operation(command.operation))
        if command.fence is not None:
            at = format_now(self._context.clock)
            value = pack(replace(command.fence, raised_at=at, nonce=self._nonce()))
            last.append(Put(self._keys.fence(command.fence.epoch), value))
        *before, puts = _parts(puts)
        if puts and _size_bytes([*puts, *last]) > _PART_BYTES:
            before, puts = [*before, puts], []
        # A twin of these writes that arrives late, after the next ctl, must not take it back.
        unchanged = Modified(self._keys.ctl, self._ctl_revision)
        for part in before:
            if not (await self.txn(part, unchanged)).applied:
                return False
        puts = [*puts, *last]
        if command.ctl is None:
            return (await self.txn(puts, unchanged)).applied
        return await self._write_ctl(command.ctl, puts, [])

    async def decide(self, command: Decide, votes: Mapping[AgentName, Vote]) -> bool:
        """Writes the group and ctl, if exactly `votes` are still there. False otherwise."""
        epoch = command.ctl.epoch
        prefix = f"{self._keys.votes(epoch)}{command.phase}/"
        listing = await self._etcd.list(prefix)
        decoded = self._decoded(Vote, listing.items, agent_of)
        found = {name: vote for name, vote in decoded.items() if name in command.voters}
        if found != votes or not all(vote.yes for vote in found.values()):
            return False
        group = Group(
            epoch=epoch,
            operation=command.ctl.operation,
            manifest=Sha256(command.ctl.manifest),
            nonce=self._nonce(),
        )
        key = self._keys.group(epoch)
        guards: list[Guard] = [UnchangedSince(prefix, listing.revision), Created(key, 0)]
        return await self._write_ctl(command.ctl, [Put(key, encode(group))], guards)

    async def _write_ctl(self, ctl: Ctl, ops: list[Op], guards: Sequence[Guard]) -> bool:
        put = Put(self._keys.ctl, pack(replace(ctl, nonce=self._nonce())))
        unchanged = Modified(self._keys.ctl, self._ctl_revision)
        result = await self.txn([put, *ops], unchanged, *guards)
        if result.applied:
            self._ctl_revision = result.revision
        return result.applied

    def _put_operation(self, operation: Operation) -> Put:
        if operation.state in FINAL_STATES and not operation.ended_at:
            operation = replace(operation, ended_at=format_now(self._context.clock))
        value = pack(replace(operation, nonce=self._nonce()))
        return Put(self._keys.operation(operation.id), value)

    # Operations

    async def operation(self, operation: OperationId) -> Operation | None:
        found = await self._etcd.get(self._keys.operation(operation))
        return decode_or_skip(self._context, Operation, found) if found else None

    async def all_pending(self) -> list[Operation]:
        """The operations that wait for their turn, not for the end of another: the oldest first,
        before those that have had turns already."""
        listing = await self._etcd.list(self._keys.operations)
        found = (decode_or_skip(self._context, Operation, item) for item in listing.items)
        records = [record for record in found if record is not None]
        open_ones = {record.id: record for record in records if record.state not in FINAL_STATES}
        held = held_up(open_ones.values())
        waiting = [
            record
            for record in records
            if record.state is State.PENDING
            and not waits_for_another(record, open_ones)
            and record.id not in held
        ]
        return sorted(waiting, key=lambda record: (record.turns, record.created_at))

    async def cancel_pending(self, operation: OperationId) -> None:
        """Ends an operation that has not begun, or waits for another attempt. A restore that waits
        for its reshards is rolled back in its next one."""
        found = await self.operation(operation)
        if found is not None and waits_for_reshards(found):
            await self._change(operation, _PENDING, cancelled=True)
            return
        state, failure = State.ABORTED, CANCELLED
        if found is not None and found.kind is OperationKind.RESHARD:  # between two steps
            state, failure = State.CANCELED, with_number(found, CANCELLED)
        if found is not None and found.kind is OperationKind.UNDELETE:
            state, failure = State.CANCELED, with_points(found, CANCELLED)
        await self._change(operation, _PENDING, state=state, failure=failure)

    async def reshards_of_canceled(self) -> tuple[OperationId, ...]:
        """The reshards that are to end since their restore was canceled."""
        listing = await self._etcd.list(self._keys.operations)
        found = (decode_or_skip(self._context, Operation, item) for item in listing.items)
        return reshards_of_canceled(record for record in found if record is not None)

    async def note_waiting(self, operation: Operation, failure: Failure) -> None:
        """Shows why a pending operation does not begin. Without effect for another leader."""
        if operation.failure != failure:
            await self._change(operation.id, _PENDING, failure=failure)

    async def note_awaited(self, operation: Operation, awaited: Awaited) -> None:
        """Shows which agents a pending operation waits for."""
        await self._change(operation.id, _PENDING, awaited=awaited)

    async def end_operation(self, operation: Operation, state: State, failure: Failure) -> None:
        """Ends an operation that has not begun. Raises: Fenced, if another coordinator leads."""
        if not await self._change(operation.id, _UNENDED, state=state, failure=failure):
            raise _deposed()

    async def _change(
        self, operation: OperationId, states: Collection[State], **changes: Any
    ) -> bool:
        """False, if a guard refused. An operation in none of `states` stays as it is: also if this
        very write arrives again, late."""
        found = await self._etcd.get(self._keys.operation(operation))
        record = decode_or_skip(self._context, Operation, found) if found else None
        if found is None or record is None or record.state not in states:
            return True
        put = self._put_operation(replace(record, **changes))
        return (await self.txn([put], Modified(found.key, found.mod_revision))).applied

    async def note_recorded(self, operation: Operation) -> None:
        """Its story is in the store. Without effect for another leader."""
        await self._change(operation.id, FINAL_STATES, recorded=True)

    async def sessions(self) -> dict[AgentName, tuple[FencingToken, Session]]:
        """The live agents, with their tokens."""
        listing = await self._etcd.list(self._keys.sessions)
        sessions = self._decoded(Session, listing.items, agent_of)
        tokens = {agent_of(item.key): FencingToken(item.create_revision) for item in listing.items}
        return {name: (tokens[name], session) for name, session in sessions.items()}

    # Epochs

    async def next_epoch(self) -> Epoch:
        """A number greater than any that etcd or the store has seen. What etcd holds of the epochs
        before it goes with the same write: members, votes, operations that ended 48 h ago and are
        recorded in the store, with what it says of their groups.

        Raises: Fenced, if another coordinator leads.
        """
        found = await self._etcd.get(self._keys.epoch)
        seen = await newest_epoch(self._context.store, self._context.paths)
        counter = self._context.skipped.read_number(self._keys.epoch, found.value) if found else 0
        epoch = Epoch(max(counter, seen) + 1)
        old = await self._outdated(epoch)
        while len(old) > _AT_ONCE:
            await self.txn(old[-_AT_ONCE:])
            old = old[:-_AT_ONCE]
        unchanged = Modified(self._keys.epoch, found.mod_revision if found else 0)
        put = Put(self._keys.epoch, str(epoch).encode())
        if not (await self.txn([put, *old], unchanged)).applied:
            raise _deposed()
        return epoch

    async def _outdated(self, epoch: Epoch) -> list[Op]:
        old: list[Op] = [
            DeleteRange(prefix, prefix + format_epoch(epoch))
            for prefix in (self._keys.all_votes, self._keys.all_members)
        ]
        now_s = self._context.clock.wall_s()
        listing = await self._etcd.list(self._keys.operations)
        for item in listing.items:
            record = decode_or_skip(self._context, Operation, item)
            if record is not None and may_leave_etcd(record, now_s):
                old.append(Delete(item.key))
                if record.kind is OperationKind.UNDELETE:
                    prefix = self._keys.undelete(record.id)
                    old.append(DeleteRange(prefix, f"{prefix}~"))
                if record.state is State.COMMITTED:  # the catalog has it
                    old.append(Delete(self._keys.group(record.epoch)))
                if record.request_id:
                    old.append(Delete(self._keys.request(record.request_id)))
        return old


def _size_bytes(puts: Sequence[Op]) -> int:
    return sum(len(put.key) + len(put.value) for put in puts if isinstance(put, Put))


def _parts(puts: Sequence[Op]) -> list[list[Op]]:
    """What fits into one request to etcd each, in number and in bytes; at least one part."""
    parts: list[list[Op]] = [[]]
    size_bytes = 0
    for put in puts:
        put_bytes = _size_bytes([put])
        if len(parts[-1]) == _AT_ONCE or (parts[-1] and size_bytes + put_bytes > _PART_BYTES):
            parts.append([])
            size_bytes = 0
        parts[-1].append(put)
        size_bytes += put_bytes
    return parts


def _deposed() -> Fenced:
    return Fenced("another coordinator leads now", "repeat the request")


def format_now(clock: Clock) -> str:
    """The wall clock as `format_time`."""
    return format_time(clock.wall_s())
