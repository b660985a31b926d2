"""Whole set-ups for hostile cases: those of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import kind, launch, launch_module, runner

__all__ = ["kind", "launch", "launch_module", "runner"]
