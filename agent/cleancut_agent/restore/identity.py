"""Identity of restored collections: what is put in place reaches the one of this restore only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.restore.upload_names import upload_name
from cleancut.qdrant.responses import Telemetry
from cleancut_agent.context import AgentContext


def check_same(telemetry: Telemetry, task: ShardTask) -> None:
    """Raises: Refused, if the collection is another one by now."""
    found = telemetry.collections.get(task.collection)
    if found is not None and task.uuid not in {"", found.uuid}:
        raise Refused(
            f"collection {task.collection!r} was replaced while it was restored",
            "keep clients away from the collection until the restore is done",
        )


async def check_chosen(context: AgentContext, task: ShardTask) -> None:
    """Raises: Refused, if the collection that Qdrant has looked up by its name may be another one;
    errors of `Qdrant`."""
    check_same(await context.qdrant.telemetry(), task)


@asynccontextmanager
async def named(context: AgentContext, task: ShardTask) -> AsyncIterator[str]:
    """Inside the block the collection has an alias of its own.

    Order: made first, then the collection is looked at: a look before it proves nothing.
    Raises: Refused, if the collection is another one by now; errors of `Qdrant`.
    """
    alias, qdrant = upload_name(context.token_hex(16)), context.qdrant
    made = {"alias_name": alias, "collection_name": task.collection}
    try:
        await qdrant.change_aliases([{"create_alias": made}])
        check_same(await qdrant.telemetry(), task)
        yield alias
    finally:
        with contextlib.suppress(CleancutError):  # one that is left is removed at the end
            await qdrant.change_aliases([{"delete_alias": {"alias_name": alias}}])
