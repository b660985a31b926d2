"""The object by which agents prove that they see the coordinator's store."""

from __future__ import annotations

from cleancut.core.format.paths import COORDINATOR_PROBE
from cleancut.core.protocol.effect_requests import Probe
from cleancut_coordinator.context import CoordinatorContext


async def put_probe(context: CoordinatorContext, probe: Probe) -> None:
    """Raises: Unavailable, Denied, Refused, if the store does not take it."""
    path = context.paths.probe(probe.epoch, COORDINATOR_PROBE)
    await context.store.put(path, probe.nonce.encode())
