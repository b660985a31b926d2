"""What an epoch costs etcd: a bound on its transactions, over the real machines and a real etcd."""

from __future__ import annotations

import argparse

import pytest

from bench.barrier import measure

AGENTS = 5


@pytest.mark.parametrize(("fence", "bound"), [(False, 4 * AGENTS + 9), (True, 5 * AGENTS + 11)])
def test_transactions_of_an_epoch_are_bounded(bound: int, *, fence: bool) -> None:
    """A vote of each agent in each phase, one more of the first; the coordinator's own are few."""
    found = measure(AGENTS, argparse.Namespace(epochs=2, fence=fence))
    assert found["txns"] == [bound, bound]
