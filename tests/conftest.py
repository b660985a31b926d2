"""Settings of all suites."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("cleancut", deadline=None)  # timings depend on the machine
settings.load_profile("cleancut")
