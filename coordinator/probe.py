"""The object by which agents prove that they see the coordinator's store."""

from __future__ import annotations

from cleancut.keys import COORDINATOR_PROBE
from cleancut.phases import Probe
from coordinator.context import Context


async def put_probe(context: Context, probe: Probe) -> None:
    """Raises: Unavailable, Denied, Refused, if the store does not take it."""
    path = context.paths.probe(probe.epoch, COORDINATOR_PROBE)
    await context.store.put(path, probe.nonce.encode())
