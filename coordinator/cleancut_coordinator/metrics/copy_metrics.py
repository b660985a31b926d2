"""A coordinator's metrics of the copies in other stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cleancut.runtime.prometheus import Meter


class CopySeen(NamedTuple):
    """One copy, as it was read at `read_s`; None: not yet. `newest_s`: when its newest good backup
    was cut. `expected_s`: how old that may be by the schedules; `since_s`: of the first of them."""

    read_s: float | None = None
    newest_s: float | None = None
    good: int = 0
    corrupt: int = 0
    expected_s: float | None = None
    since_s: float | None = None


class CopyGauges:
    """Gauges of each store that backups are copied to."""

    def __init__(self, meter: Meter) -> None:
        gauge, label = meter.gauge, "store"
        self._read = gauge(
            "cleancut_copy_read_timestamp_seconds",
            "When the catalog of a copy was last read, in seconds since 1970.",
            label,
        )
        self._newest = gauge(
            "cleancut_copy_last_success_timestamp_seconds",
            "Cut time of the newest good backup in a copy, in seconds since 1970.",
            label,
        )
        self._backups = gauge(
            "cleancut_copy_backups",
            "Backups in a copy. corrupt: unreadable, or found damaged by its last verification.",
            label,
            "state",
        )
        self._expected = gauge(
            "cleancut_copy_expected_age_seconds",
            "The longest that the newest backup in a copy is old by the times of backups and of"
            " copies, in seconds; absent without a schedule.",
            label,
        )
        self._since = gauge(
            "cleancut_copy_since_timestamp_seconds",
            "When a leader first saw a schedule of copies to a store, in seconds since 1970.",
            label,
        )

    def show(self, copies: Mapping[str, CopySeen]) -> None:
        rows = [({"store": name}, one) for name, one in copies.items()]
        self._read.show([(labels, one.read_s) for labels, one in rows])
        self._newest.show([(labels, one.newest_s) for labels, one in rows])
        self._expected.show([(labels, one.expected_s) for labels, one in rows])
        self._since.show([(labels, one.since_s) for labels, one in rows])
        read = [(labels, one) for labels, one in rows if one.read_s is not None]
        self._backups.show(
            [
                ({**labels, "state": state}, number)
                for labels, one in read
                for state, number in (("good", one.good), ("corrupt", one.corrupt))
            ]
        )
