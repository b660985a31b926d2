"""Agents that read no logs, or capture nothing from their disk, are named with the reason."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.doctor.facts import Facts, Finding
from cleancut.core.doctor.findings import diagnose
from tests.support.health import HEALTHY

NFS, OVERLAY = "storage lies on 'nfs4'", "storage lies on 'overlay'"


def found(wal: str | None, capture: str | None) -> list[Finding]:
    """What is found of the disk of the last agent."""
    last = replace(HEALTHY.agents[2], wal=wal, capture=capture)
    return found_in(replace(HEALTHY, agents=(*HEALTHY.agents[:2], last)))


def found_in(facts: Facts) -> list[Finding]:
    return [one for one in diagnose(facts) if one.kind in {"snapshots_only", "streams_only"}]


def test_logs_that_cannot_be_read_are_found() -> None:
    (one,) = found(NFS, NFS)
    assert (one.kind, one.severity) == ("snapshots_only", "info")
    assert HEALTHY.agents[2].name in one.what
    assert NFS in one.what
    assert "read-only" in one.fixes[0].what


def test_files_that_cannot_be_captured_are_found_where_logs_are_read() -> None:
    (one,) = found("", OVERLAY)
    assert (one.kind, one.severity) == ("streams_only", "info")
    assert HEALTHY.agents[2].name in one.what
    assert OVERLAY in one.what


def test_different_reasons_are_two_findings() -> None:
    assert [one.kind for one in found(NFS, OVERLAY)] == ["snapshots_only", "streams_only"]


def test_agents_with_one_reason_are_named_together() -> None:
    agents = tuple(replace(one, wal="", capture=OVERLAY) for one in HEALTHY.agents)
    (one,) = found_in(replace(HEALTHY, agents=agents))
    assert all(agent.name in one.what for agent in agents)


def test_a_disk_that_is_read_or_not_known_is_no_finding() -> None:
    assert not found("", "")
    assert not found(None, None)
