"""How long each phase of an attempt took, from the coordinators' own log lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

_END = ("IDLE", "ABORT")


def read_phases(logs: Iterable[Path], epoch: int) -> dict[str, int]:
    """Milliseconds from the entry into each phase of `epoch` to the next, in their order."""
    entered: dict[str, datetime] = {}
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            entry = _entry(line)
            if entry.get("event") == "persist" and entry.get("epoch") == epoch:
                phase, at = entry.get("phase"), entry.get("timestamp")
                if phase and at and entry.get("applied"):
                    entered.setdefault(phase, datetime.fromisoformat(at))
    times = sorted(entered.items(), key=lambda item: item[1])
    return {
        phase: round((after - at).total_seconds() * 1000)
        for (phase, at), (_, after) in pairwise(times)
        if phase not in _END
    }


def read_lifted_ms(logs: Iterable[Path], epoch: int) -> int | None:
    """From the raising of the fence of `epoch` until it was seen lifted; None without one."""
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            entry = _entry(line)
            if entry.get("event") == "fence lifted" and entry.get("epoch") == epoch:
                took_s = entry.get("took_s")
                return None if took_s is None else round(took_s * 1000)
    return None


def read_search(logs: Iterable[Path], epoch: int) -> dict[str, int]:
    """How the search for a standstill of `epoch` went; {} if there was none."""
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            entry = _entry(line)
            if entry.get("epoch") == epoch and entry.get("rounds") and entry.get("applied"):
                names = ("rounds", "standstill", "waited_ms", "moved", "window_ms")
                return {name: int(entry[name]) for name in names}
    return {}


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
