"""What doctor says of another installation of cleancut on the same Qdrant cluster."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.doctor.findings import diagnose
from cleancut.core.primitives.ids import Epoch
from tests.unit.core.doctor.test_findings import HEALTHY, aliased


def test_its_mark_is_an_error_and_adopting_is_the_last_fix() -> None:
    (found,) = diagnose(replace(HEALTHY, other="'prod' (5b5b5b5b)"))
    assert (found.kind, found.severity) == ("other_installation", "error")
    assert "'prod' (5b5b5b5b)" in found.what
    assert [fix.effect for fix in found.fixes] == ["safe", "loses-data"]


def test_its_fence_is_left_to_the_agents() -> None:
    """Even if an epoch of that number is open here."""
    (found,) = diagnose(aliased(("live@fence-5b5b5b5b-3", "docs"), open_fence=Epoch(3)))
    assert found.kind == "stray_fence"
    assert "another installation (5b5b5b5b)" in found.what
    assert found.fixes == ()
