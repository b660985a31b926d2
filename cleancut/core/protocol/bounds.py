"""Bounds and defaults of requests that the command line names in its help without loading them."""

from __future__ import annotations

MAX_ATTEMPTS = 20
MAX_STREAMS = 32
SEED_STREAMS = 2
"""Shards that each agent reads at a time for a seed, unless the request says otherwise."""
