"""Defaults of the client's calls: their bounds, and what is asked for."""

from __future__ import annotations

from cleancut.api.rebalances import RebalanceOptions
from cleancut.api.restores import RestoreOptions
from cleancut.core.protocol.requests import BackupRequest, SeedRequest

CARE_S = 50.0
MARK_S = 30.0
"""Bound of calls that look at every peer, some of which hang, or wait for an operation's end."""
GC_S = 3600.0
DEEP_S = 24 * 3600.0
"""Bound of a gc run, which goes over all of a store."""
WHOLE = BackupRequest()
"""All collections, by the coordinator's settings."""
SEED = SeedRequest()
ALL = RestoreOptions()
"""The whole group, under its own names."""
EVEN = RebalanceOptions()
"""As many moves as it takes."""
