"""What people read of a backup: never more lines than one screen, doubts first."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from cleancut.api.backups import (
    Backup,
    BackupCheck,
    CollectionBytes,
    Evidence,
    ShardEvidence,
)
from cleancut.api.checks import Drill, DrilledShard
from cleancut.api.values import Attempt, OperationError, PhaseTime
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


def test_a_backup_says_what_became_of_attempts_and_which_rule_keeps_it() -> None:
    failed = Attempt(
        epoch=16,
        duration_ms=30_200,
        phases=(PhaseTime(phase="PREPARE"), PhaseTime(phase="UPLOAD")),
        error=OperationError(reason="UNAVAILABLE", message="agent a1: gone"),
    )
    made = Attempt(
        epoch=17,
        duration_ms=95_000,
        phases=(
            PhaseTime(phase="PREPARE", duration_ms=400),
            PhaseTime(phase="UPLOAD", start_ms=400, duration_ms=94_600),
        ),
    )
    value = Backup(
        id="b-1",
        epoch=17,
        state=State.COMMITTED,
        evidence=Evidence(),
        attempt_history=(failed, made),
        checks=(BackupCheck(at="2026-01-02T03:04:05Z", kind="verify", level="part", good=True),),
        collection_bytes=(
            CollectionBytes(name="small", shards=1, protected=10),
            CollectionBytes(name="large", shards=2, protected=1 << 20),
        ),
        kept_by="keep-daily",
        freed_bytes=2048,
    )
    text = "\n".join(" ".join(line.split()) for line in text_of(backup_tables.backup(value)))
    assert "took 1 min 35 s" in text
    assert "phases prepare 400 ms, upload 1 min 35 s" in text
    assert "attempt before #16 ended after 30.2 s in UPLOAD: agent a1: gone" in text
    assert "kept by keep-daily" in text
    assert "a deletion frees 2.0 KiB" in text
    assert "verified 2026-01-0" in text
    assert "ago) (part of the data): ok" in text
    assert "drilled never" in text
    assert text.index("large 2 1.0 MiB") < text.index("small 1 10 B")
