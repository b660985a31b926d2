"""Adversity cases in one table: what is hostile, how it ended, how long it took.

Usage: python -m tests.adversity [PYTEST ARGUMENTS ...], as in `-k "etcd and backup"`
Cases are tests with the marker `adversity`, wherever they stand. They run on a real Qdrant server
if there is one ($QDRANT_BIN, or qdrant on PATH), else on the stand-in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleancut_devcluster.launch.qdrant import Kind, real_binary

FOLDERS = ("tests/adversity", "tests/e2e", "tests/contract")


@dataclass(slots=True)
class Case:
    """One test, with the words of its marker. `seconds`: with what it alone sets up."""

    words: str
    test: str
    result: str = "not run"
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Recorder:
    """The plugin that keeps the tests of one kind of peer, and sees how they end."""

    kind: Kind
    cases: dict[str, Case] = field(default_factory=dict)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        kept, others = [], []
        for item in items:
            marker = item.get_closest_marker("adversity")
            given = getattr(item, "callspec", None)
            kind = given.params.get("kind", self.kind) if given else self.kind
            if marker is None or kind != self.kind:
                others.append(item)
                continue
            kept.append(item)
            self.cases[item.nodeid] = Case(str(marker.args[0]), item.name)
        items[:] = kept
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self.cases.get(report.nodeid)
        if case is None:
            return
        case.seconds += report.duration
        if report.failed:
            case.result = "FAILED"
        elif report.skipped:
            case.result = f"skipped: {_reason(report)}"
        elif report.when == "call":
            told = [f"{name}: {value}" for name, value in report.user_properties]
            case.result = "; ".join(["passed", *told])


def _reason(report: pytest.TestReport) -> str:
    told = report.longrepr
    return str(told[2] if isinstance(told, tuple) else told).removeprefix("Skipped: ")


def table_of(cases: list[Case]) -> Table:
    table = Table(title=f"{len(cases)} adversity cases")
    for column in ("case", "test", "result"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    for case in cases:
        table.add_row(*map(escape, (case.words, case.test, case.result)), f"{case.seconds:.1f}")
    return table


def main(argv: list[str]) -> int:
    binary, console = real_binary(), Console(width=160)
    kind: Kind = "real" if binary else "standin"
    told = f"Qdrant: {binary or 'the stand-in (devcluster); set QDRANT_BIN for a real server'}"
    console.print(told)
    recorder = Recorder(kind)
    code = pytest.main(["-q", "-m", "adversity", *FOLDERS, *argv], plugins=[recorder])
    console.print(table_of(list(recorder.cases.values())))
    console.print(told)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
