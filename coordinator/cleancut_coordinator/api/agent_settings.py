"""Settings of agents as the API sees them."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from cleancut.api.agent_settings import AgentSettings
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Fenced
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.agent_settings import UploadSettings as Stored
from cleancut.core.protocol.agent_settings import check_settings
from cleancut.ports.coordination import Created, Guard, Modified, Put
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.term import LeaderTerm


class Limits:
    """The part of `cleancut_coordinator.api.interface.Operations` that tells agents what they may
    take."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    def leading(self) -> tuple[FencingToken, LeaderTerm]:
        """The token and term of this leader. Raises: Unavailable on a standby."""
        raise AssertionError("known by the whole class")

    async def agent_settings(self) -> AgentSettings:
        stored, _ = await self._stored()
        return _shown(stored)

    async def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        token, _ = self.leading()
        stored, revision = await self._stored()
        given = {name: value for name, value in asdict(change).items() if value is not None}
        new = check_settings(replace(stored, **given, nonce=self._context.token_hex(8)))
        keys = self._context.keys
        guards: list[Guard] = [Created(keys.leader, token), Modified(keys.settings, revision)]
        if not (await self._context.etcd.txn(guards, [Put(keys.settings, encode(new))])).applied:
            raise Fenced("somebody else has changed the settings, or leads now", "repeat it")
        return _shown(new)

    async def _stored(self) -> tuple[Stored, int]:
        """As they are, and the revision that guards a change."""
        key = self._context.keys.settings
        found = await self._context.etcd.get(key)
        if found is None:
            return Stored(), 0
        return decode(Stored, found.value, key), found.mod_revision


def _shown(stored: Stored) -> AgentSettings:
    return AgentSettings(
        upload_bytes_per_s=stored.upload_bytes_per_s,
        uploads=stored.uploads,
        spill_bytes=stored.spill_bytes,
        spill_floor_bytes=stored.spill_floor_bytes,
    )
