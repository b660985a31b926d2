"""Check that an attempt is still in the phase to which an effect belongs."""

from __future__ import annotations

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Fenced
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import Phase
from cleancut_coordinator.context import CoordinatorContext


async def check_phase(context: CoordinatorContext, epoch: Epoch, phase: Phase) -> None:
    """Raises: Fenced, if the attempt is no longer where an effect belongs: a leader that was
    stopped for a while must not change anything after its successor has gone on."""
    found = await context.etcd.get(context.keys.ctl)
    ctl = decode(Ctl, found.value, found.key) if found else Ctl()
    if (ctl.epoch, ctl.phase) != (epoch, phase):
        raise Fenced(f"epoch {epoch} is no longer in {phase}")
