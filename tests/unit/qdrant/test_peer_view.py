"""Views by a selection: a name may be an alias, which stands for the collection behind it."""

from __future__ import annotations

import pytest

from cleancut.core.cluster.view import View
from cleancut.core.protocol.requests import Selection
from cleancut.qdrant.peer_view import view_of
from cleancut.qdrant.responses import (
    ClusterInfo,
    CollectionTelemetry,
    RecoveryCounters,
    Telemetry,
)

ALONE = ClusterInfo(0, {}, 0, None, 0, enabled=False)
SOME = ("docs@r-1", "other")


def seen(
    aliases: dict[str, str],
    *names: str,
    exclude: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
) -> View:
    described = {name: CollectionTelemetry(f"uuid-{name}", {}, {}) for name in SOME}
    telemetry = Telemetry("1.18.3", "start", 1, described, RecoveryCounters(0, 0, 0, 0))
    selection = Selection(collections=names, exclude=exclude)
    return view_of(ALONE, telemetry, aliases, selection, hidden=hidden)


def chosen(view: View) -> list[str]:
    return [entry.name for entry in view.collections]


@pytest.mark.parametrize(
    ("names", "exclude", "takes"),
    [
        (("docs",), (), ["docs@r-1"]),
        (("docs", "docs@r-1"), (), ["docs@r-1"]),
        (("docs", "other"), (), ["docs@r-1", "other"]),
        ((), ("docs",), ["other"]),
        ((), (), ["docs@r-1", "other"]),
    ],
)
@pytest.mark.parametrize("alias", ["docs", "docs@fence-7"])
def test_an_alias_takes_or_excludes_what_is_behind_it(
    alias: str, names: tuple[str, ...], exclude: tuple[str, ...], takes: list[str]
) -> None:
    """Also while a fence has renamed it, so that the view after the cut is that before it."""
    assert chosen(seen({alias: "docs@r-1"}, *names, exclude=exclude)) == takes


def test_an_alias_that_is_switched_makes_another_view() -> None:
    """The view after the cut differs then, so that the attempt is aborted: whichever way the
    alias was chosen by, and whatever it points to now."""
    for names, exclude in ((("docs",), ()), ((), ("docs",)), (("docs", "other"), ())):
        views = [
            seen(aliases, *names, exclude=exclude)
            for aliases in ({"docs": "docs@r-1"}, {"docs": "other"}, {"docs": "gone"}, {})
        ]
        assert len(set(views)) == len(views), names


def test_the_view_has_the_aliases_that_are_named() -> None:
    """Else it could not be told which names are wrong."""
    dangling = seen({"docs": "gone", "else": "gone"}, "docs")
    assert (chosen(dangling), dangling.aliases) == ([], (("docs", "gone"),))
    excluded = seen({"docs": "docs@r-1"}, exclude=("docs",))
    assert excluded.aliases == (("docs", "docs@r-1"),)


def test_an_alias_that_has_the_name_of_a_collection_is_not_taken_for_it() -> None:
    """It hides the collection that is meant, so that this is sick."""
    view = seen({"docs": "other"}, "docs", hidden=("docs",))
    assert (chosen(view), view.hidden) == ([], ("docs",))
