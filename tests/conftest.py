"""Settings of all suites."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "cleancut",
    deadline=None,  # timings depend on the machine
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("cleancut")
