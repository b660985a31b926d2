"""What the demo found: as one JSON object, and as a table for people."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cleancut_devcluster.demo.comparison import Comparison
from cleancut_devcluster.demo.writers import Holes

SCHEMA = 1
MAX_NEW_SHARE = 0.12

STANDIN_NOTES = (
    "The peers were the stand-in: Qdrant's storage engine in process, with a REST face.",
    "Segments, WAL, HNSW, tars and the hash ring are real; backups restore on a real server.",
    "Not real: Raft, background optimizers, proxies while a shard streams, throughput. A cut holds",
    "a shard's writes for some ms instead, so skew, sizes and times of a real server will differ.",
)


class BackupFigures(msgspec.Struct, kw_only=True):
    """One backup. Bytes: `protected` is what a restore writes, `stored` what it added."""

    id: str
    epoch: int
    consistency: str
    skew_ms: int | None
    unchanged_shards: int
    shards: int
    bytes_protected: int
    bytes_new: int
    bytes_stored: int
    took_s: float
    phases_ms: dict[str, int]


class Figures(msgspec.Struct, kw_only=True):
    """All that is shown; what has not been reached is None."""

    qdrant: str
    version: str = ""
    points: int = 0
    dims: int = 0
    changed: int = 0
    backup_1: BackupFigures | None = None
    chains: Holes | None = None
    backup_2: BackupFigures | None = None
    takeover_s: float | None = None
    peers_before: int = 0
    peers_after: int = 0
    restore_s: float | None = None
    comparisons: list[Comparison] = []
    took_s: float = 0.0
    faults: list[str] = []

    @property
    def verdict(self) -> str:
        """The last line of the report."""
        equal = sum(one.equal for one in self.comparisons)
        word = "FAIL" if self.faults else "PASS"
        return f"{word}: {equal} of {len(self.comparisons)} equal"

    def judge(self) -> None:
        """Fills `faults`: why this run proves nothing or disproves something."""
        if self.chains is None or self.chains.points == 0:
            self.faults.append("backup 1 holds no point of the writers' chains")
        elif self.chains.lost:
            self.faults.append(f"backup 1 lacks {self.chains.lost} points acknowledged before it")
        if self.backup_2 is None or self.backup_2.consistency != "point-in-time":
            self.faults.append("backup 2 is not point-in-time, although there were no writes")
        if not self.comparisons:
            self.faults.append("nothing was compared")
        self.faults += [f"{one.what} differs" for one in self.comparisons if not one.equal]


def figures_of(backup: dict[str, Any], took_s: float, phases_ms: dict[str, int]) -> BackupFigures:
    """A backup's JSON, as the command line gave it, in short."""
    evidence, size = backup["evidence"], backup["bytes"]
    return BackupFigures(
        id=backup["id"],
        epoch=backup["epoch"],
        consistency=evidence["consistency"],
        skew_ms=evidence["skew_ms"],
        unchanged_shards=sum(1 for shard in evidence["shards"] if shard["unchanged"]),
        shards=len(evidence["shards"]),
        bytes_protected=size["protected"],
        bytes_new=size["new"],
        bytes_stored=size["stored"],
        took_s=round(took_s, 2),
        phases_ms=phases_ms,
    )


def as_json(figures: Figures) -> str:
    """One object; `equal` is the verdict."""
    document = {"schema": SCHEMA, "equal": not figures.faults, "demo": figures}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def print_tables(console: Console, figures: Figures) -> None:
    """The tables, the verdict, and what a stand-in cannot show."""
    parts: list[Any] = []
    backups = [one for one in (figures.backup_1, figures.backup_2) if one]
    if backups:
        parts.append(_backups(backups))
    parts.append(_facts(figures))
    if figures.comparisons:
        parts.append(_verdict(figures))
    if figures.qdrant == "standin":
        parts += [Text(note, style="dim") for note in STANDIN_NOTES]
    for fault in figures.faults:
        parts.append(Text(f"FAULT: {fault}", style="bold red"))
    parts.append(Text(figures.verdict, style="bold red" if figures.faults else "bold green"))
    console.print(Group(*parts))


def _backups(backups: list[BackupFigures]) -> Table:
    table = Table(title="Backups", title_justify="left")
    for column in ("", *(f"backup {number + 1}" for number in range(len(backups)))):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("consistency", lambda one: one.consistency),
        ("unchanged shards", lambda one: f"{one.unchanged_shards} of {one.shards}"),
        ("skew, at most", lambda one: f"{one.skew_ms} ms"),
        ("bytes protected", lambda one: mib(one.bytes_protected)),
        ("bytes new", lambda one: mib(one.bytes_new)),
        ("bytes stored", lambda one: mib(one.bytes_stored)),
        ("took", lambda one: f"{one.took_s:.1f} s"),
    )
    for name, value in rows:
        table.add_row(name, *(value(one) for one in backups))
    for phase in dict.fromkeys(phase for one in backups for phase in one.phases_ms):
        table.add_row(phase, *(f"{one.phases_ms.get(phase, 0)} ms" for one in backups))
    return table


def _facts(figures: Figures) -> Table:
    table = Table(show_header=False, title="What happened", title_justify="left")
    table.add_row("Qdrant", f"{figures.qdrant} {figures.version}")
    table.add_row("points", f"{figures.points:,} of {figures.dims} dimensions")
    if figures.chains:
        found = (
            f"{figures.chains.points} points, {figures.chains.holes} missing before later ones, "
        )
        table.add_row("writers in backup 1", f"{found}{figures.chains.lost} acknowledged and lost")
    if figures.backup_1 and figures.backup_2:
        share = figures.backup_2.bytes_stored / max(1, figures.backup_1.bytes_stored)
        changed = f"{figures.changed:,} points changed"
        table.add_row("stored by backup 2", f"{share:.1%} of backup 1's ({changed})")
    if figures.takeover_s is not None:
        table.add_row("leader killed", f"the standby led after {figures.takeover_s:.1f} s")
    if figures.restore_s is not None:
        peers = f"{figures.peers_before} peers lost, {figures.peers_after} new ones"
        table.add_row("restore of backup 2", f"{figures.restore_s:.1f} s ({peers})")
    table.add_row("all of it", f"{figures.took_s:.0f} s")
    return table


def _verdict(figures: Figures) -> Table:
    table = Table(title="Before the loss and after the restore", title_justify="left")
    for column in ("what", "before", "after", ""):
        table.add_column(column)
    for one in figures.comparisons:
        mark = Text("equal", style="green") if one.equal else Text("DIFFERS", style="bold red")
        table.add_row(one.what, one.kept, one.restored, mark)
    return table


def mib(size_bytes: int) -> str:
    """Bytes for people."""
    return f"{size_bytes / (1 << 20):.2f} MiB"
