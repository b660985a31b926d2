"""Tables of `bench.live`, and whether its targets are met."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.live_ways import DIRECT, STREAM, Outcome
from bench.measuring import show

Runs = dict[str, dict[str, list[Outcome]]]
"""By state and way."""
HEAD = ["state", "way", "took_s", "times_stream", "times_stream_range", "from_qdrant_mb",
        "disk_mb", "kept_mb", "stored_mb", "qdrant_cpu_s", "own_cpu_s", "store_cpu_s",
        "again"]  # fmt: skip
FULL, UPDATES = "full", "1 % updates"


def table(runs: Runs) -> list[dict[str, Any]]:
    """Medians; `times_stream`: took_s over that of the stream, within a round."""
    rows = []
    for state, by_way in runs.items():
        for name, its in by_way.items():
            ratios = _ratios(by_way, name, STREAM, "took_s")
            rows.append({
                "state": state,
                "way": name,
                "took_s": round(median(one.took_s for one in its), 2),
                "times_stream": round(median(ratios), 2) if ratios else None,
                "times_stream_range": [round(r, 2) for r in (min(ratios), max(ratios))]
                if ratios
                else None,
                "from_qdrant_mb": _mb([one.from_qdrant_bytes for one in its]),
                "disk_mb": _mb([one.disk_bytes for one in its]),
                "kept_mb": _mb([one.kept_bytes for one in its]),
                "stored_mb": _mb([one.stored_bytes for one in its]),
                "qdrant_cpu_s": round(median(one.qdrant_cpu_s for one in its), 2),
                "own_cpu_s": round(median(one.own_cpu_s for one in its), 2),
                "store_cpu_s": round(median(one.store_cpu_s for one in its), 2),
                "again": sum(one.again for one in its),
            })  # fmt: skip
    return rows


def targets(
    runs: Runs, felt: list[dict[str, Any]], swept: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Those that were measured."""
    found = []
    for state, what, most in (
        (FULL, "took_s", 0.35),
        (UPDATES, "took_s", 0.15),
        (FULL, "qdrant_cpu_s", 0.1),
        (UPDATES, "qdrant_cpu_s", 0.1),
    ):
        by_way = runs.get(state, {})
        ratios = _ratios(by_way, DIRECT, STREAM, what) if DIRECT in by_way else []
        if ratios:
            ratio = median(ratios)
            found.append(_target(f"{state}: {what} of direct over stream", ratio, most))
    for row in felt:
        if row["operation"] == "upsert" and row["during"].startswith(DIRECT) and row["times_idle"]:
            what = f"upsert p50 during {row['during']} over idle"
            found.append(_target(what, row["times_idle"], 1.2))
    direct = {row["gb"]: row["took_s"] for row in swept if row["way"] == DIRECT}
    if 0.5 in direct and 4.0 in direct:
        ratio = direct[4.0] / direct[0.5]
        found.append(_target("10 MB changed: took_s at 4 GB over 0.5 GB", ratio, 1.5))
    return found


def show_targets(found: list[dict[str, Any]]) -> None:
    if found:
        show(found, list(found[0]))


def _target(what: str, measured: float, most: float) -> dict[str, Any]:
    met = "yes" if measured <= most else "no"
    return {"target": what, "at_most": most, "measured": round(measured, 3), "met": met}


def _ratios(by_way: dict[str, list[Outcome]], over: str, under: str, what: str) -> list[float]:
    pairs = zip(by_way[over], by_way.get(under, ()), strict=False)  # a broken round lacks some
    return [getattr(a, what) / max(getattr(b, what), 0.001) for a, b in pairs]


def _mb(sizes: list[int]) -> float:
    return round(median(sizes) / 1e6, 1)
