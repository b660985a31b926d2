"""The leader's keeping of stories: what each ended operation was, from etcd into the store.

It takes no turn, and a store that takes nothing holds up no operation: each round tries again what
is left, and etcd keeps the records meanwhile.
"""

from __future__ import annotations

from typing import Any

from cleancut.core.format.story import Story, StoryKind
from cleancut.core.maintenance.stories import is_expired, story_of, unrecorded
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Fenced, LeaseLost, NotFound
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut.repository.catalog import get_checked
from cleancut.repository.history import list_stories, put_story
from cleancut.rpc.authentication import caller_name
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.peer_agents import read_peer_agents

_EVERY_S = 10.0
_BY_PEER = {OperationKind.REBALANCE, OperationKind.RESHARD}
MAX_DOCUMENT_BYTES = 8 << 20
"""A larger document is left out of the story."""


class StoryKeeper:
    """One term's keeping of stories."""

    def __init__(self, context: CoordinatorContext, token: FencingToken, log: Logger) -> None:
        self._context, self._log = context, log
        self._state = LeaderState(context, token)
        self._logged = ""

    async def run(self) -> None:
        """Stores stories for ever; a failure is logged once, and the next round tries again."""
        while True:
            await self._context.clock.sleep(_EVERY_S)
            try:
                await self.keep()
            except (Fenced, LeaseLost):
                return
            except CleancutError as error:
                if error.message != self._logged:
                    self._log.warning("story not stored", cause=error.message, hint=error.hint)
                self._logged = error.message
            else:
                self._logged = ""

    async def keep(self) -> None:
        """Stores what is still to be stored. Raises: what etcd and the store do."""
        for operation in unrecorded(await read_operations(self._context)):
            named = await read_peer_agents(self._context) if operation.kind in _BY_PEER else {}
            story = story_of(operation, await self._document(operation), named)
            await put_story(self._context.store, self._context.paths, story)
            await self._state.note_recorded(operation)
            self._log.info("story stored", operation=operation.id, state=operation.state)

    async def _document(self, operation: Operation) -> Any:
        """What the record names as its detail; None, if there is none or no more of it."""
        if not operation.detail:
            return None
        path = self._context.paths.staged(operation.detail_at, operation.detail)
        try:
            data = await get_checked(self._context.store, path, operation.detail)
            return decode(dict, data, path) if len(data) <= MAX_DOCUMENT_BYTES else None
        except (Corrupt, NotFound):
            return None


async def record_work(
    context: CoordinatorContext,
    kind: StoryKind,
    began_s: float,
    *,
    facts: dict[str, Any],
    ok: bool = True,
) -> None:
    """Stores the story of work that takes no turn, asked for by the client whose call this is, if
    it is one. Raises: what the store does."""
    story = Story(
        kind=kind,
        id=context.token_hex(8),
        at=format_time(began_s),
        ended_at=format_time(context.clock.wall_s()),
        state=State.DONE if ok else State.FAILED,
        asked_by=caller_name(),
        facts=facts,
    )
    await put_story(context.store, context.paths, story)


async def expire_stories(context: CoordinatorContext) -> int:
    """Deletes the stories that have been there for their time, and says how many. No backup names
    them, so that needs no list. Raises: what the store does."""
    now_s, kept_s = context.clock.wall_s(), context.gc.stories_s
    old = [
        one.path
        for one in await list_stories(context.store, context.paths)
        if is_expired(one.name, now_s, kept_s)
    ]
    for path in old:
        await context.store.delete(path)
    return len(old)
