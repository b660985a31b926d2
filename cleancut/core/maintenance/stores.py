"""Stores of copies: how a coordinator's file names them, and how old their newest backup may be.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from cleancut.core.maintenance.retention import Retention, check_retention
from cleancut.core.maintenance.schedule import Do, Schedules, worst_gap_s
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import parse_name
from cleancut.core.primitives.spelling import suggestion


class StoreRule(Record, frozen=True, forbid_unknown_fields=True):
    """`[store.NAME]` of a coordinator's file: a store that backups are copied to and restored from.

    `key_file`, `key_command`: of a key of its own; neither: objects stay encrypted as they are.
    `upload_rate`: bytes a second of a copy; 0: no limit. `retention`: for the backups in it; None:
    all stay.
    """

    url: str
    key_file: str = ""
    key_command: str = ""
    upload_rate_bytes: int = msgspec.field(default=0, name="upload_rate")
    retention: Retention | None = None

    @property
    def has_key(self) -> bool:
        return bool(self.key_file or self.key_command)


def check_store_rule(name: str, rule: StoreRule) -> None:
    """Checks all but the URL. Raises: Invalid."""
    parse_name(name, "store")
    if rule.key_file and rule.key_command:
        raise Invalid(f"[store.{name}]: give key-file or key-command, not both")
    if rule.upload_rate_bytes < 0:
        raise Invalid(f"[store.{name}]: upload-rate cannot be negative")
    if rule.retention is not None:
        check_retention(rule.retention, f"[store.{name}.retention]")


def check_targets(schedules: Schedules, stores: Collection[str]) -> None:
    """Every copy has a store that is configured. Raises: Invalid."""
    for name, schedule in schedules.items():
        if schedule.do is Do.COPY and schedule.to not in stores:
            likely = suggestion(schedule.to, stores)
            raise Invalid(
                f"[schedule.{name}]: there is no [store.{schedule.to}]{likely}",
                'name a store of the file, as in to = "second"',
            )


def expected_age_s(schedules: Schedules, store: str) -> float | None:
    """The longest that the newest backup in this store is old, by the times of backups and of
    copies to it; None without such schedules."""
    copies = [s for s in schedules.values() if s.do is Do.COPY and s.to == store]
    backups = [s for s in schedules.values() if s.do is Do.BACKUP]
    if not copies:
        return None
    gap_s = min(map(worst_gap_s, copies)) + min(map(worst_gap_s, backups), default=0.0)
    return gap_s if gap_s < float("inf") else None
