"""Protection as the API shows it: whether each collection has a backup that is young enough."""

from __future__ import annotations

from cleancut.api.values import ApiValue, Time, to_value
from cleancut.core.doctor.protection import Protection as Judged
from cleancut.core.doctor.protection import summary
from cleancut.core.primitives.timestamps import format_second


class RestoreTest(ApiValue, frozen=True):
    """The newest proof that a backup can be restored. `kind`: drill | restore. `backup`: its
    number; 0: not known."""

    kind: str
    at: Time | None = None
    backup: int = 0


class CollectionProtection(ApiValue, frozen=True):
    """See `cleancut.core.doctor.protection.CollectionProtection`. `backup`: a number."""

    name: str
    protected: bool = False
    backup: int = 0
    cut_at: Time | None = None
    age_s: float = 0.0
    limit_s: float = 0.0
    schedule: str = ""
    excluded: bool = False
    damaged: bool = False


class NewestBackup(ApiValue, frozen=True):
    """The newest whole, undamaged backup, by its number, and how old it may be."""

    backup: int
    cut_at: Time | None = None
    age_s: float = 0.0
    limit_s: float = 0.0
    schedule: str = ""


class Protection(ApiValue, frozen=True):
    """`reason`: a clause. `summary`: the one line that starts with the verdict. `known`: False if
    the catalog could not be read; then nothing is protected as far as is known."""

    protected: bool = False
    reason: str = ""
    summary: str = ""
    collections: tuple[CollectionProtection, ...] = ()
    newest: NewestBackup | None = None
    last_restore_test: RestoreTest | None = None
    known: bool = False


def shown_protection(value: Judged, now_s: float) -> Protection:
    """The judgement at `now_s` as the API shows it."""
    newest, test = value.newest, value.last_restore_test
    return to_value(
        Protection,
        value,
        summary=summary(value, now_s),
        collections=tuple(
            to_value(
                CollectionProtection,
                one,
                cut_at=format_second(one.cut_at_s) if one.backup else None,
                age_s=round(one.age_s, 3),
            )
            for one in value.collections
        ),
        newest=newest
        and to_value(
            NewestBackup,
            newest,
            backup=newest.epoch,
            cut_at=format_second(newest.cut_at_s),
            age_s=round(newest.age_s, 3),
        ),
        last_restore_test=test
        and to_value(RestoreTest, test, at=format_second(test.at_s), backup=test.epoch),
    )
