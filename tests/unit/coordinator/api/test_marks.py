"""Names of marks: what can be the name of an object in every store."""

from __future__ import annotations

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import ClusterName
from cleancut_coordinator.api.archive import check_mark

FILE_BYTES = 255


@pytest.mark.parametrize(
    "name", ["a", "before 7", "../../x", ".", "a/b", "%2e", "ä" * 40, "1" * 100]
)
def test_a_name_is_one_segment_of_a_path(name: str) -> None:
    check_mark(name, 0.0)
    path = Paths(ClusterName("c")).archive_mark(1_800_000_000_000, name)
    last = path.removeprefix(Paths(ClusterName("c")).archive_marks)
    assert "/" not in last
    assert len(last.encode()) <= FILE_BYTES


@pytest.mark.parametrize("name", ["", " ", "a\n", "\udcff", "1" * 101, "日" * 90, "\u202e"])
def test_what_no_store_or_screen_can_show_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a mark"):
        check_mark(name, 0.0)


@pytest.mark.parametrize("timeout_s", [-1.0, 601.0, float("nan"), float("inf")])
def test_a_timeout_is_bounded(timeout_s: float) -> None:
    with pytest.raises(Invalid, match="timeout"):
        check_mark("a", timeout_s)
