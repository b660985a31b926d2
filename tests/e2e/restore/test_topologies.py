"""A group comes back onto every topology: the quick rows of the table `make e2e-restore` prints."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Launch
from tests.e2e.topologies import FAST, ROWS


@pytest.mark.timeout(400)
@pytest.mark.parametrize("row", FAST)
def test_a_group_comes_back(launch: Launch, row: str) -> None:
    """Counts, payloads, filters, indexes, aliases and exact searches are equal, all replicas are
    active, every point lies where routing looks for it, and the next backup is quiet."""
    assert ROWS[row](launch).wrong == []
