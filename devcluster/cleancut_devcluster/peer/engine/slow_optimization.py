"""Slow optimization of a shard, for tests: it lasts while a file is there, and a tar that is cut
meanwhile holds what was deleted since it began.

A real optimization wraps segments: what is deleted in them is in no file until it ends, and a shard
snapshot carries an empty WAL. What was changed before it was deleted comes back as it was.
Source: lib/shard/src/proxy_segment/snapshot_entry.rs, Qdrant 1.18.3 (measured on 1.18.3 and 1.19.0)
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cleancut.engine.config import Json
from cleancut_devcluster.peer.engine.queries import run
from cleancut_devcluster.peer.engine.updates import Operation

_ALL = 1_000_000
_WHOLE = {"with_payload": True, "with_vector": True}


class SlowOptimization:
    """`log` gets its entry, as telemetry lists optimizations."""

    def __init__(self, mark: Path, log: list[Json]) -> None:
        self._mark, self._log = mark, log
        self._entry: Json | None = None
        self._before: dict[Any, Json] = {}

    def runs(self) -> bool:
        """Whether it is under way. Order: before anything that depends on it."""
        there = self._mark.exists()
        if there and self._entry is None:
            self._entry = {"name": "indexing", "status": "optimizing", "start_at": instant()}
            self._log.append(self._entry)
        elif not there and self._entry is not None:
            self._entry["status"] = "done"
            self._entry = None
            self._before.clear()
        return there

    def keep(self, engine: Any, operation: Operation) -> None:
        """Remembers the points that `operation` is about to change, as they were at the begin."""
        if not self.runs() or operation["kind"] in {"create_index", "delete_index"}:
            return
        ids = operation.get("ids") or [one["id"] for one in operation.get("points") or ()]
        if operation.get("filter") is not None:
            asked = {"filter": operation["filter"], "limit": _ALL, **_WHOLE}
            found = run(engine, "scroll", asked)
        else:
            found = run(engine, "retrieve", {"ids": list(ids), **_WHOLE}) if ids else []
        for record in found:
            self._before.setdefault(record["id"], record)

    def deleted(self, engine: Any) -> list[Json]:
        """The points that a tar of now holds although they are gone."""
        if not self.runs() or not self._before:
            return []
        ids = list(self._before)
        live = {one["id"] for one in run(engine, "retrieve", {"ids": ids, "with_payload": False})}
        return [record for one, record in self._before.items() if one not in live]


def instant() -> str:
    """Now, as telemetry writes times."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
