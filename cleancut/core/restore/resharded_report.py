"""Report of a restore whose collections were resharded before their names are published. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from cleancut.core.primitives.errors import Refused
from cleancut.core.restore.plan import CollectionPlan
from cleancut.core.restore.report import (
    ComparedCollection,
    ObservedCollection,
    ReplacedCollection,
    RestoreDraft,
    RestoreReport,
)


def report_resharded(
    draft: RestoreDraft,
    verified: RestoreReport,
    looks: Mapping[str, ObservedCollection],
    counts: Mapping[str, int],
    *,
    kept: tuple[ReplacedCollection, ...] = (),
) -> RestoreReport:
    """What is published. `verified`: the report before the reshards; what was compared there with
    the group stays so. `looks`, `counts`: by the group's name, as they are now. A collection with
    its own name is seen by clients all the time, so they may have written to it; not to one that no
    alias points to yet.

    Raises: Refused, if such a collection holds another number of points than it was verified with.
    """
    planned = {one.name: one for one in draft.planned}
    compared = tuple(
        _compared(one, looks[one.name], _differs(planned[one.name], verified, counts))
        for one in verified.collections
    )
    return replace(
        verified,
        epoch=draft.epoch,
        collections=compared,
        warnings=(*verified.warnings, *_written(draft, verified, counts)),
        kept=kept,
    )


def _differs(planned: CollectionPlan, verified: RestoreReport, counts: Mapping[str, int]) -> bool:
    """Raises: Refused, if it must not."""
    before, now = verified.total_of(planned.name), counts[planned.name]
    if before == now:
        return False
    if planned.action != "create":
        raise Refused(
            f"{planned.created_as!r} holds {now} points after its reshards, and was verified with"
            f" {before}",
            "find out who wrote to it by that name; if its points are right, point the aliases to"
            " it, else delete it and restore again",
        )
    return True


def _compared(
    before: ComparedCollection, look: ObservedCollection, differs: bool
) -> ComparedCollection:
    return replace(
        before,
        shards=len({shard for shard, _ in look.places}),
        replicas_active=look.active,
        counts_equal=None if differs else before.counts_equal,
    )


def _written(
    draft: RestoreDraft, verified: RestoreReport, counts: Mapping[str, int]
) -> Iterator[str]:
    for one in draft.planned:
        before, now = verified.total_of(one.name), counts[one.name]
        if before != now:
            yield (
                f"{one.created_as!r} was verified with {before} points and holds {now} after its"
                " reshards: clients wrote to it meanwhile"
            )
