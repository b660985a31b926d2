"""Settings of agents in etcd, watched: uploads under way follow a change at once."""

from __future__ import annotations

from contextlib import aclosing

from msgspec.structs import asdict

from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.etcd.key_watch import watch_key
from cleancut.ports.coordination import KeyValue
from cleancut.runtime.log import Logger
from cleancut_agent.context import AgentContext


async def watch_settings(context: AgentContext, log: Logger) -> None:
    """Never returns. What cannot be read changes nothing."""
    async with aclosing(watch_key(context.etcd, context.keys.settings)) as items:
        async for item in items:  # the lease ends if etcd stays away
            _take(context, item, log)


def _take(context: AgentContext, found: KeyValue | None, log: Logger) -> None:
    settings: UploadSettings | None = UploadSettings()
    if found is not None:
        settings = context.skipped.read(UploadSettings, found.key, found.value)
    if settings is None:
        return
    if settings != context.limits.settings:
        context.limits.settings = settings
        log.info("settings", **asdict(settings))
