"""Streams of the status page: the part of a page that moves, sent again when it has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from cleancut.core.primitives.errors import CleancutError, Unavailable
from cleancut_coordinator.ui.memory import PageMemory

MOST = 100
MOST_S = 3600.0
"""Streams at a time, and how long one lives: a browser opens it again by itself."""
_BEAT_S = 15.0


class Streams:
    """Server-sent events. The limit keeps forgotten tabs from using up the process."""

    def __init__(self, memory: PageMemory) -> None:
        self._memory, self._open = memory, 0

    async def serve(
        self, request: web.Request, fragment: Callable[[], Awaitable[str]]
    ) -> web.StreamResponse:
        """Raises: Denied, before the first one; Unavailable, for one stream too many."""
        shown = await fragment()
        if self._open >= MOST:
            raise Unavailable(f"{MOST} pages are open already", "close some, or load this again")
        answer = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        self._open += 1
        try:
            await answer.prepare(request)
            await self._follow(answer, shown, fragment)
        except (ConnectionError, CleancutError):
            pass  # the reader has gone, or may read no more
        finally:
            self._open -= 1
        return answer

    async def _follow(
        self, answer: web.StreamResponse, shown: str, fragment: Callable[[], Awaitable[str]]
    ) -> None:
        await answer.write(b": open\n\n")
        began_s = self._memory.seen.at_s
        while self._memory.seen.at_s - began_s < MOST_S:
            await self._memory.next(_BEAT_S)
            now = await fragment()
            if now != shown:
                lines = "".join(f"data: {line}\n" for line in now.splitlines())
                await answer.write(f"event: live\n{lines}\n".encode())
            else:
                await answer.write(b": same\n\n")
            shown = now
