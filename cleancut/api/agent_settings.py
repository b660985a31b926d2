"""Values of the API: settings of the agents."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class AgentSettings(ApiValue, frozen=True):
    """See `cleancut.core.cluster.agent_settings.AgentSettings`. In a change, what is None stays as
    it is."""

    upload_bytes_per_s: int | None = None
    uploads: int | None = None
    spill_bytes: int | None = None
    spill_floor_bytes: int | None = None
