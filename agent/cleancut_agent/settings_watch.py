"""Settings of agents in etcd, watched: uploads under way follow a change at once."""

from __future__ import annotations

from msgspec.structs import asdict

from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.core.primitives.errors import Unavailable
from cleancut.ports.coordination import Compacted, KeyValue
from cleancut.runtime.log import Logger
from cleancut_agent.context import AgentContext


async def watch_settings(context: AgentContext, log: Logger) -> None:
    """Never returns. What cannot be read changes nothing."""
    key = context.keys.settings
    while True:
        listing = await context.etcd.list(key)
        found = next((item for item in listing.items if item.key == key), None)
        _take(context, found, log)
        try:
            async for changes in context.etcd.watch(key, listing.revision + 1):
                for change in changes:
                    if change.kv.key == key:
                        _take(context, None if change.deleted else change.kv, log)
        except (Compacted, Unavailable):
            continue  # read again; the lease ends if etcd stays away


def _take(context: AgentContext, found: KeyValue | None, log: Logger) -> None:
    settings: UploadSettings | None = UploadSettings()
    if found is not None:
        settings = context.skipped.read(UploadSettings, found.key, found.value)
    if settings is None:
        return
    if settings != context.limits.settings:
        context.limits.settings = settings
        log.info("settings", **asdict(settings))
