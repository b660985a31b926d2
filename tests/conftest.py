"""Settings of all tests: property tests have no deadlines, since a busy machine passes any."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "cleancut", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("cleancut")
