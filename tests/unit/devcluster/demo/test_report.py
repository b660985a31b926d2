"""The demo's verdict: it must be able to fail, and say why."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cleancut.core.cluster.hash_ring import HashRing
from cleancut_devcluster.demo.comparison import Answers, compare
from cleancut_devcluster.demo.data import Shape, make_payload, make_vectors
from cleancut_devcluster.demo.phase_times import read_phases
from cleancut_devcluster.demo.report import BackupFigures, Figures, as_json
from cleancut_devcluster.demo.writers import Chain, Holes, find_holes

ANSWERS = Answers(
    counts={"all points": 3, "year >= 2010": 1},
    top=(((1, 0.5), (2, 0.25)), ((3, 0.125),)),
    payloads="ab" * 32,
    indexes=("category",),
    aliases=("live -> articles",),
)


def differing(restored: Answers) -> list[str]:
    return [one.what for one in compare(ANSWERS, restored) if not one.equal]


def test_equal_answers_are_equal_up_to_rounding() -> None:
    """A score may differ in its last digit; ids and their order may not."""
    rounded = (((1, 0.5000001), (2, 0.25)), ((3, 0.125),))
    assert differing(replace(ANSWERS, top=rounded)) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"counts": {"all points": 2, "year >= 2010": 1}}, "count: all points"),
        ({"counts": {"all points": 3}}, "count: year >= 2010"),
        ({"top": (((2, 0.25), (1, 0.5)), ((3, 0.125),))}, "exact top-10 lists"),
        ({"top": (((1, 0.5),), ((3, 0.125),))}, "exact top-10 lists"),
        ({"top": (((1, 0.6), (2, 0.25)), ((3, 0.125),))}, "exact top-10 lists"),
        ({"payloads": "cd" * 32}, "all ids and payloads, sha256"),
        ({"indexes": ()}, "payload indexes"),
        ({"aliases": ()}, "aliases"),
    ],
)
def test_each_difference_is_seen(changed: dict[str, object], what: str) -> None:
    """One changed answer makes exactly its own line differ."""
    assert differing(replace(ANSWERS, **changed)) == [what]  # type: ignore[arg-type]


def test_holes_are_gaps_below_the_last_point() -> None:
    """What a chain lacks at its end was simply not written yet, unless it was acknowledged before
    the cuts began."""
    chains = [Chain(0, [1.0, 2.0, 3.0, 4.0]), Chain(1, [1.5, 2.5])]
    assert find_holes(chains, {0: {0, 1, 2, 3}, 1: {0, 1}}, 9.0) == Holes(6, 0, 0)
    assert find_holes(chains, {0: {0, 1}, 1: {0, 1}}, 2.6) == Holes(4, 0, 0)
    assert find_holes(chains, {0: {0, 2, 3}, 1: {0, 1}}, 1.8) == Holes(5, 1, 0)
    assert find_holes(chains, {0: {0, 2, 3}, 1: {0, 1}}, 2.2) == Holes(5, 1, 1)
    assert find_holes(chains, {}, 2.2) == Holes(0, 0, 3)


def test_neighbours_in_a_chain_are_spread_over_shards() -> None:
    """Otherwise a cut shard by shard would show no holes either."""
    chain = Chain(2)
    owners = HashRing(range(6)).shards_of([chain.point(step) for step in range(600)])
    assert set(owners) == set(range(6))
    stays = sum(a == b for a, b in pairwise(owners))
    assert stays < 200


def test_data_is_the_same_each_time_and_normalised() -> None:
    """The queries and what they find do not depend on the run, nor on how it is split."""
    shape = Shape(points=100, dims=16)
    vectors = make_vectors(shape, 50, 20)
    assert np.array_equal(vectors, make_vectors(shape, 50, 20))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert make_payload(7) == make_payload(7)
    assert make_payload(7) != make_payload(8)


def test_phases_are_the_times_between_transitions(tmp_path: Path) -> None:
    """Of one epoch, over the logs of several coordinators, whatever else stands there."""
    log = tmp_path / "coordinator.log"
    entries = [("PREPARE", 1, "00.000"), ("CUT", 1, "00.500"), ("CUT", 2, "00.600")]
    entries += [("SEAL", 1, "00.750"), ("IDLE", 1, "01.000")]
    lines = [
        json.dumps(
            {
                "event": "persist",
                "phase": phase,
                "epoch": epoch,
                "applied": True,
                "timestamp": f"2030-01-01T00:00:{second}Z",
            }
        )
        for phase, epoch, second in entries
    ]
    log.write_text("\n".join(["no json", "[]", *lines]))
    assert read_phases([log], 1) == {"PREPARE": 500, "CUT": 250, "SEAL": 250}


def figures(consistency: str = "point-in-time", lost: int = 0) -> Figures:
    backup = BackupFigures(
        id="b",
        epoch=1,
        consistency=consistency,
        skew_ms=1,
        unchanged_shards=1,
        shards=1,
        bytes_protected=1,
        bytes_new=1,
        bytes_stored=1,
        took_s=1.0,
        phases_ms={},
    )
    return Figures(
        qdrant="standin",
        backup_1=backup,
        backup_2=backup,
        chains=Holes(5, 0, lost),
        comparisons=compare(ANSWERS, ANSWERS),
    )


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (figures(consistency="per-shard"), "not point-in-time"),
        (figures(lost=2), "lacks 2 points"),
        (Figures(qdrant="standin"), "nothing was compared"),
    ],
)
def test_a_run_that_proves_nothing_is_no_success(found: Figures, word: str) -> None:
    """The exit code follows the faults."""
    found.judge()
    assert any(word in fault for fault in found.faults)
    assert found.verdict.startswith("FAIL: ")
    assert json.loads(as_json(found))["equal"] is False


def test_a_good_run_has_no_faults() -> None:
    """And says so in JSON."""
    found = figures()
    found.judge()
    assert found.faults == []
    assert found.verdict == f"PASS: {len(found.comparisons)} of {len(found.comparisons)} equal"
    assert json.loads(as_json(found))["equal"] is True
