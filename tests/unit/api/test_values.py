"""Values of the API: copied from core records."""

from __future__ import annotations

import pytest

from cleancut.api.cluster import AgentSettings, DoctorFinding
from cleancut.api.values import to_value
from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.core.doctor.facts import Finding


def test_fields_of_the_same_name_are_copied_and_others_are_not() -> None:
    stored = UploadSettings(uploads=7, nonce="n")
    shown = to_value(AgentSettings, stored)
    assert shown == AgentSettings(
        upload_bytes_per_s=stored.upload_bytes_per_s,
        uploads=7,
        spill_bytes=stored.spill_bytes,
        spill_floor_bytes=stored.spill_floor_bytes,
        read_bytes_per_s=stored.read_bytes_per_s,
    )


def test_what_is_given_wins_over_what_is_copied() -> None:
    found = Finding(kind="lost_shard", severity="error", what="shard 1 is lost")
    assert to_value(DoctorFinding, found, what="other").what == "other"


def test_a_field_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(TypeError):
        to_value(DoctorFinding, UploadSettings())
