"""One shard of an undelete: batches looked up, sent and looked up again; progress kept in etcd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cleancut.core.points.selection import PointId
from cleancut.core.points.undeletion import differs
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import LeaseLost
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.undelete.pace import Pace
from cleancut.core.undelete.phases import ShardProgress, UndeleteDraft
from cleancut.core.undelete.plan import check_same
from cleancut.ports.coordination import Created, Modified, Put
from cleancut_agent.context import AgentContext
from cleancut_agent.session import OpenSession

_KEEP_S = 2.0
"""At least so often is kept where it is while nothing is sent."""


class _Identity(msgspec.Struct):
    """What is read of a point that is there already: most of them are."""

    id: PointId


_decode_identity = msgspec.json.Decoder(_Identity).decode


class ShardRun:
    """`at`: where it is, in memory perhaps a few batches further than in etcd.

    What a batch sends is in etcd before it is sent: one that is repeated after a crash counts once.
    """

    def __init__(
        self,
        context: AgentContext,
        session: OpenSession,
        draft: UndeleteDraft,
        task: ShardTask,
    ) -> None:
        self._context, self._session, self._draft = context, session, draft
        self._shard_key = task.shard_key
        self._key = context.keys.undelete_of(draft.operation, task.shard_id)
        self._plan = draft.plan
        self._into = draft.plan.target or draft.request.into  # a plan of an older version has none
        self.at = ShardProgress(shard_id=task.shard_id, uuid=draft.plan.uuid)
        self._revision, self._nonce = 0, ""
        self._kept_s = self._began_s = context.clock.monotonic_s()
        self._sent = 0

    @property
    def pace(self) -> Pace:
        """What the live collection takes."""
        return self._plan.pace

    @property
    def epoch(self) -> Epoch:
        return self._draft.epoch

    async def load(self) -> ShardProgress:
        """Where this shard is, also if another agent brought it there. Raises: Refused, if that
        was in another collection."""
        await self.check_same()
        found = await self._context.etcd.get(self._key)
        if found is not None:
            known = self._context.skipped.read(ShardProgress, found.key, found.value)
            self.at, self._revision = known or self.at, found.mod_revision
        if self.at.uuid:
            check_same(self._plan, self.at.uuid)
        return self.at

    async def put_back(self, batch: Sequence[bytes]) -> None:
        """The points of `batch`, a line each, are where they are to be. Order: repeatable."""
        request, qdrant = self._draft.request, self._context.qdrant
        ids = [_decode_identity(line).id for line in batch]
        there = await self._there(ids, whole=request.overwrite)
        points: list[dict[str, Any]] = [
            msgspec.json.decode(line)
            for line, point_id in zip(batch, ids, strict=True)
            if request.overwrite or point_id not in there
        ]
        missing = [point for point in points if point["id"] not in there]
        differing = [
            point for point in points if point["id"] in there and differs(point, there[point["id"]])
        ]
        lost = max(len(missing), self.at.sending)
        changed = max(len(differing), self.at.replacing)
        absent, todo = 0, [] if request.count_only else [*missing, *differing]
        if todo:
            if (lost, changed) != (self.at.sending, self.at.replacing):
                await self._keep(replace(self.at, sending=lost, replacing=changed))
            await self.check_same()
            await qdrant.points.upsert(
                self._into,
                todo,
                shard_key=self._shard_key,
                insert_only=not request.overwrite,
                bound_s=self.pace.bound_s,
            )
            sent = [point["id"] for point in todo]
            absent = len(todo) - len(await self._there(sent, whole=False))
            self._sent += len(todo)
        after = replace(
            self.at,
            settled=self.at.settled + len(batch),
            missing=self.at.missing + lost,
            differing=self.at.differing + changed,
            restored=self.at.restored + (0 if request.count_only else lost + changed),
            absent=self.at.absent + absent,
            sending=0,
            replacing=0,
        )
        if todo or self._context.clock.monotonic_s() - self._kept_s >= _KEEP_S:
            await self._keep(after)
        else:
            self.at = after

    async def finish(self) -> None:
        await self._keep(replace(self.at, done=True))

    async def wait_pace(self) -> None:
        """Waits for as long as the rate asks for."""
        if self._draft.points_per_s:
            clock = self._context.clock
            due_s = self._began_s + self._sent / self._draft.points_per_s
            await clock.sleep(max(0.0, due_s - clock.monotonic_s()))

    async def _there(
        self, ids: Sequence[PointId], *, whole: bool
    ) -> dict[int | str, dict[str, Any]]:
        found = await self._context.qdrant.points.retrieve(
            self._into,
            ids,
            shard_key=self._shard_key,
            whole=whole,
            bound_s=self.pace.bound_s,
        )
        return {one["id"]: one for one in found}

    async def check_same(self) -> None:
        """Raises: Refused, if the collection is another one by now. Limits: one that is replaced
        just after that gets a batch."""
        if self._plan.uuid:
            found = (await self._context.qdrant.telemetry()).collections.get(self._into)
            check_same(self._plan, found.uuid if found is not None else None)

    async def _keep(self, at: ShardProgress) -> None:
        """Raises: LeaseLost, if the session is over, or another agent has this shard now."""
        context, key = self._context, self._key
        ours = {self._nonce, nonce := context.token_hex(8)}
        self._nonce = nonce
        put = Put(key, encode(replace(at, nonce=nonce)))
        session = Created(context.keys.session(context.name), self._session.token)
        for _ in range(2):
            result = await context.etcd.txn([session, Modified(key, self._revision)], [put])
            if result.applied:
                self.at, self._revision = at, result.revision
                self._kept_s = context.clock.monotonic_s()
                return
            found = await context.etcd.get(key)
            known = context.skipped.read(ShardProgress, key, found.value) if found else None
            if found is None or known is None or known.nonce not in ours:
                break
            self._revision = found.mod_revision  # an earlier write has arrived after all
        raise LeaseLost(f"the progress of {key} is another agent's now")
