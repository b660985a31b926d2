"""Claims about segment files hold while another process changes them in each way, and each rule
that they rest on is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.evidence_stress import MUTANTS, stress, stress_mutant
from tests.support.segment_dirs import needs_proving_disk

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
SEED, CLAIMS, MUTANT_CLAIMS, LIMIT_S = 1, 5_000, 30_000, 500.0


def test_no_claim_is_wrong_and_no_file_that_a_flush_writes_is_lost(tmp_path: Path) -> None:
    needs_proving_disk(tmp_path)
    found = stress(tmp_path, CLAIMS, SEED, LIMIT_S)
    assert found.wrong == [], found
    assert min(found.kept, found.direct) > 0, found
    assert "a flush wrote it" not in found.lost, found


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_any_of_the_rules_claims_are_wrong(tmp_path: Path, mutant: str) -> None:
    needs_proving_disk(tmp_path)
    found = stress_mutant(mutant, tmp_path, MUTANT_CLAIMS, SEED, limit_s=LIMIT_S)
    assert found.wrong, found


def test_without_the_deny_list_captures_are_lost_at_the_flush(tmp_path: Path) -> None:
    needs_proving_disk(tmp_path)
    found = stress_mutant("no deny list", tmp_path, CLAIMS // 5, SEED, limit_s=LIMIT_S)
    assert found.wrong == [], found
    assert found.lost["a flush wrote it"] > 0, found
