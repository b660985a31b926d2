"""Evidence: when a recorded state proves something, and records that count as absent."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut.core.capture.evidence import (
    MAX_EVIDENCE_BYTES,
    Circumstances,
    decode_evidence,
    encode_evidence,
    evidence_of,
    recorded,
)
from cleancut.core.capture.proof import FileState
from cleancut.core.primitives.ids import Digest

HERE = Circumstances("boot", 7, 30, "2026-01-01T00:00:00Z", 1000)
RECIPE = Digest("ab" * 32)
FILES = {"s/vectors/chunk_0.mmap": FileState(7, 2, 3, 4096, 5, 6, 1)}
EVIDENCE = evidence_of(("c", 3), RECIPE, HERE, FILES)


def test_evidence_holds_for_its_recipe_in_the_same_run_on_the_same_mount() -> None:
    assert recorded(EVIDENCE, RECIPE, HERE) == FILES
    assert recorded(EVIDENCE, RECIPE, replace(HERE, now_ns=2000)) == FILES


@pytest.mark.parametrize(
    "now",
    [
        replace(HERE, boot_id="other"),
        replace(HERE, device=8),
        replace(HERE, mount_id=31),
        replace(HERE, startup="2026-01-01T00:00:01Z"),
        replace(HERE, now_ns=999),
    ],
)
def test_evidence_of_other_circumstances_or_of_the_future_proves_nothing(
    now: Circumstances,
) -> None:
    assert recorded(EVIDENCE, RECIPE, now) == {}


def test_without_a_parent_or_with_another_there_is_no_evidence() -> None:
    assert recorded(None, RECIPE, HERE) == {}
    assert recorded(EVIDENCE, None, HERE) == {}
    assert recorded(EVIDENCE, Digest("cd" * 32), HERE) == {}


@pytest.mark.parametrize(
    "unknown", [{"boot_id": ""}, {"startup": ""}, {"mount_id": -1}], ids=lambda one: next(iter(one))
)
def test_what_cannot_be_said_of_the_circumstances_is_never_the_same(
    unknown: dict[str, str],
) -> None:
    there = replace(HERE, **unknown)  # type: ignore[arg-type]
    assert recorded(evidence_of(("c", 3), RECIPE, there, FILES), RECIPE, there) == {}


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode_evidence(encode_evidence(EVIDENCE)) == EVIDENCE


@given(st.data())
def test_a_damaged_record_is_absent_or_a_record(data: st.DataObject) -> None:
    whole = bytearray(encode_evidence(EVIDENCE))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    found = decode_evidence(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert found is None or found.version == 1


def test_foreign_oversized_and_impossible_records_are_absent() -> None:
    assert decode_evidence(b"") is None
    assert decode_evidence(b"{}") is None
    assert decode_evidence(bytes(MAX_EVIDENCE_BYTES + 1)) is None
    for changed in (
        msgspec.structs.replace(EVIDENCE, version=2),
        msgspec.structs.replace(EVIDENCE, files={"../x": FILES["s/vectors/chunk_0.mmap"]}),
        msgspec.structs.replace(EVIDENCE, files={"s/x": FileState(7, 2, -3, 0, 0, 0, 1)}),
    ):
        assert decode_evidence(encode_evidence(changed)) is None
