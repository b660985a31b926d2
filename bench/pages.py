"""What the status page costs to render: 3,000 backups in its lists, 1,000 shards on one page.

Times are CPU seconds of this process, the least of several rounds; pages are to take less than 1 s.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

from cleancut.api.backups import Backup, BackupBytes, Evidence, ShardEvidence
from cleancut.core.auth.roles import Role
from cleancut.core.format.timeline import Band, Lane, Timeline, TimelineAttempt
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State
from cleancut.core.verification.damage import Level, LogEntry
from cleancut.page import views
from cleancut.page.render import render
from cleancut.page.report import report_of
from cleancut.page.routes import NOW
from cleancut.page.seen import Seen
from cleancut.page.views import View
from cleancut.rpc.authentication import Caller

BACKUPS, SHARDS, AGENTS = 3000, 1000, 50
NOW_S = 1_767_268_800.0


def backup(epoch: int, shards: int = 0) -> Backup:
    evidence = Evidence(
        consistency=Consistency.POINT_IN_TIME,
        skew_ms=41,
        shards=tuple(
            ShardEvidence(
                collection=f"collection-{number // 10}",
                shard_id=number % 10,
                peer_id=10**15 + number % AGENTS,
                ops_before=number,
                ops_after=number + 1,
                unchanged=True,
                points=number * 1000,
            )
            for number in range(shards)
        ),
    )
    return Backup(
        id=f"b-{epoch:016x}",
        epoch=epoch,
        state=State.COMMITTED,
        cut_at=format_time(NOW_S - (BACKUPS - epoch) * 3600),
        collections=tuple(f"collection-{number}" for number in range(100)),
        schedule=("hourly", "nightly")[epoch % 2],
        evidence=evidence,
        bytes=BackupBytes(protected=epoch << 20, new=epoch << 10, stored=epoch << 9),
    )


def timeline() -> Timeline:
    phases = ("PREPARE", "CUT", "SEAL", "UPLOAD", "COMMIT")
    bands = tuple(
        Band(phase=phase, start_ms=number * 1000, end_ms=number * 1000 + 900)
        for number, phase in enumerate(phases)
    )
    lanes = tuple(Lane(name=f"agent-{number}", bands=bands) for number in range(AGENTS))
    began = format_time(NOW_S)
    return Timeline(
        began_at=began,
        total_ms=5000,
        attempts=tuple(
            TimelineAttempt(epoch=Epoch(1), began_at=began, start_ms=0, end_ms=5000, lanes=lanes)
            for _ in range(3)
        ),
    )


def seen() -> Seen:
    backups = tuple(backup(epoch) for epoch in range(BACKUPS, 0, -1))
    checks = tuple(
        LogEntry(f"v/{epoch}", Epoch(epoch), NOW_S - epoch, Level.ALL, True)
        for epoch in range(BACKUPS, 0, -1)
    )
    return Seen("bench", at_s=NOW_S, complete=True, backups=backups, checks=checks, findings=())


def whole(view: View) -> str:
    return render(
        "page.html",
        NOW_S,
        page=NOW,
        title=view.title,
        cluster="bench",
        caller=Caller("bench", "token", Role.ADMIN),
        body=view.body,
        json_path="/.json",
        live="/.live",
        served_by="bench",
        **view.values,
    )


def pages() -> dict[str, Callable[[], str]]:
    known, one, story = seen(), backup(BACKUPS, SHARDS), timeline()
    return {
        "now": lambda: whole(views.now(known)),
        "backups": lambda: whole(views.backups(known, views.Query(), NOW_S)),
        "backups, 1,000 a page": lambda: whole(views.backups(known, views.Query(size=1000), NOW_S)),
        "backup of 1,000 shards": lambda: whole(views.backup(known, one, story)),
        "verification": lambda: whole(views.verification(known)),
        "growth": lambda: whole(views.growth(known)),
        "report": lambda: report_of(known, [(one, story)], "file:///bench"),
    }


def measured(rounds: int) -> dict[str, Any]:
    found = {}
    for name, make in pages().items():
        text, taken = make(), []
        for _ in range(rounds):
            began_s = time.process_time()
            make()
            taken.append(time.process_time() - began_s)
        data = text.encode()
        found[name] = {
            "cpu_s": round(min(taken), 3),
            "bytes": len(data),
            "gzipped_bytes": len(gzip.compress(data)),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(measured(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
