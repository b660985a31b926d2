"""Protection of a cluster of which all is well, as the API in memory answers."""

from __future__ import annotations

from cleancut.api.protection import Protection

PROTECTED = Protection(
    protected=True,
    reason="all 2 collections have a recent whole backup",
    summary="Protected: all 2 collections have a recent whole backup; never restore-tested",
    known=True,
)
