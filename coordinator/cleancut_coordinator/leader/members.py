"""Coordinators of a cluster, as etcd has them: where the leader answers, and the key by which each
signs what it forwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import Coordinator, Leader
from cleancut.rpc.forwarding import LeaderRoute
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record


@dataclass(frozen=True, slots=True)
class EtcdMembers:
    """Implements `Members`. `leading`: this coordinator's token, while it leads."""

    context: CoordinatorContext
    leading: Callable[[], FencingToken | None]

    async def leader(self) -> LeaderRoute | None:
        key = self.context.keys.leader
        found = await self.context.etcd.get(key)
        if found is None:
            return None
        leader = decode(Leader, found.value, key)
        member = await self._member(leader.name)
        return LeaderRoute(
            leader.name,
            leader.address,
            FencingToken(found.create_revision),
            certificate=member.certificate if member is not None else "",
            forwarded=member is not None and bool(member.key),
        )

    async def key_of(self, name: str) -> str:
        member = await self._member(name)
        return member.key if member is not None else ""

    def token(self) -> FencingToken | None:
        return self.leading()

    async def _member(self, name: str) -> Coordinator | None:
        return await read_record(self.context, self.context.keys.coordinator(name), Coordinator)
