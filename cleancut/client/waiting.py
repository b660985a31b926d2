"""Waiting for an operation's end, and ids of requests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from google.protobuf.message import Message

from cleancut.api.backups import Backup
from cleancut.api.operations import Operation, is_over
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.undeletes import Undelete
from cleancut.api.wire import from_response
from cleancut.client.connection import Link, Method
from cleancut.core.primitives.errors import TimedOut, from_reason
from cleancut.core.protocol.states import SUCCEEDED

Op = TypeVar("Op", bound=Operation)
Seen = TypeVar("Seen", Backup, Restore, Rebalance, Reshard, Undelete)


def new_id() -> str:
    """A request id that no other request has."""
    return str(uuid.uuid4())


async def last_of(stream: AsyncGenerator[Op, None], last: Op, timeout_s: float) -> Op:
    """How the operation ended, if it succeeded. `last`: as it is known so far.

    Raises: the kind of the operation's error; TimedOut after `timeout_s`, while it continues.
    """
    try:
        async with asyncio.timeout(timeout_s), aclosing(stream):
            async for seen in stream:
                last = seen
    except TimeoutError:
        pass
    if not is_over(last):
        raise TimedOut(
            f"{last.id} is {last.state} after {timeout_s:.0f} s", "it continues: watch it again"
        )
    if last.state in SUCCEEDED:
        return last
    error = last.error
    if error is None:
        raise from_reason("")(f"{last.id} is {last.state}", "see the coordinator's log")
    raise from_reason(error.reason)(f"{last.id} is {last.state}: {error.message}", error.hint)


async def follow(
    link: Link, method: Method, message: Message, kind: type[Seen]
) -> AsyncGenerator[Seen, None]:
    """What a watch sees, up to its final state."""
    stream = link.watch(method, message)
    async with aclosing(stream):
        async for answer in stream:
            seen = from_response(answer, kind)
            yield seen
            if is_over(seen):
                return
