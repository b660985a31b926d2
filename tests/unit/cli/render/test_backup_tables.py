"""What people read of a backup: never more lines than one screen, doubts first."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from cleancut.api.backups import Backup, Evidence, ShardEvidence
from cleancut.api.drills import Drill, DrilledShard
from cleancut.cli.render import backup_tables
from cleancut.core.protocol.states import State

MANY = tuple(
    ShardEvidence(
        collection="docs", shard_id=number, peer_id=1, doubt="moved" if number == 999 else ""
    )
    for number in range(1000)
)


def text_of(table: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=300).print(table)
    return out.getvalue().splitlines()


def test_a_thousand_shards_are_not_a_thousand_lines() -> None:
    value = Backup(id="b-1", epoch=7, state=State.COMMITTED, evidence=Evidence(shards=MANY))
    lines = text_of(backup_tables.backup(value))
    assert len(lines) < 50
    assert any("999" in line and "moved" in line for line in lines), "what is in doubt is shown"
    assert "and 976 more shards: `cleancut backup show 7 --evidence` lists all" in lines[-1]
    assert len(text_of(backup_tables.evidence(Evidence(shards=MANY)))) > 1000


def test_a_drill_of_many_shards_keeps_its_verdict_in_sight() -> None:
    shards = [DrilledShard(collection="docs", shard_id=number) for number in range(100)]
    shards.append(DrilledShard(collection="docs", shard_id=100, problems=("lost points",)))
    lines = text_of(backup_tables.drill(Drill(id="b-1", epoch=7, shards=tuple(shards))))
    assert len(lines) < 50
    assert any(line.split()[:2] == ["docs", "100"] for line in lines)
    assert "and 77 more shards" in lines[-1]
