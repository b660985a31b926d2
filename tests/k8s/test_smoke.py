"""From nothing to a restored collection, as the tutorial says it, and over the loss of a leader."""

from __future__ import annotations

from tests.k8s import guide
from tests.k8s.world import POINTS, World


def labels(text: str) -> set[str]:
    """The first column of its tables."""
    return {line.split()[0] for line in text.splitlines() if "  " in line.strip()}


def check_outputs(title: str, printed: list[str]) -> None:
    """Each command of a section prints the lines that the section shows."""
    for shown, said in zip(guide.outputs(title), printed, strict=True):
        assert labels(shown) <= labels(said), said


def test_the_first_backup_by_the_guide(installed: World) -> None:
    """Its four commands as they are printed, the last one is `helm test`: they print the lines that
    it shows, and say what it says of this cluster."""
    lines = guide.commands("Back up, and check the backup")
    assert [line.split(" -- ")[-1] for line in lines[:3]] == [
        "cleancut status",
        "cleancut backup create",
        "cleancut backup verify latest",
    ]
    installed.whole()
    printed = [installed.desk.type(line) for line in lines]
    check_outputs("Back up, and check the backup", printed[:3])
    assert ["verdict", "intact"] in [line.split() for line in printed[2].splitlines()]
    assert ["state", "ok"] in [line.split() for line in printed[1].splitlines()]
    assert "Succeeded" in printed[3]


def test_the_first_restore_by_the_guide(installed: World) -> None:
    installed.whole()
    title = "Restore a collection"
    printed = [installed.desk.type(line) for line in guide.commands(title)]
    check_outputs(title, printed)
    assert installed.count("docs-restored") == POINTS["docs"]
    installed.drop("docs-restored")


def test_the_leader_is_deleted_in_a_backup(installed: World) -> None:
    installed.whole()
    leader = installed.leader()
    number = installed.cleancut("-o", "name", "backup", "create", "--no-wait").strip()
    installed.kubectl("delete", "pod", leader, "--wait=false")
    assert installed.state_becomes(number, "COMMITTED", "ABORTED", "FAILED") == "COMMITTED"


def test_a_lost_collection_is_restored(installed: World) -> None:
    installed.whole()
    number = installed.back_up()
    installed.drop("docs")
    installed.cleancut("restore", "start", number, "--collection", "docs", "--yes")
    assert installed.count("docs") == POINTS["docs"]
    installed.whole()
