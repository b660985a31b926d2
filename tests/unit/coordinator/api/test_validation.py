"""Names in a request for a backup: an alias is its collection, and a typo is refused before
anything begins."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.protocol.requests import check_selection
from cleancut_coordinator.api.validation import check_fenced, check_names

THERE, ALIASES = ["documents", "users"], {"live": "documents", "users": "documents"}


def test_what_exists_passes() -> None:
    """Also a collection whose name an alias has taken."""
    check_names(["documents", "users"], THERE, ALIASES, may_miss=False)


def test_an_alias_is_its_collection() -> None:
    """One that points to nothing is said to."""
    check_names(["live"], THERE, ALIASES, may_miss=False)
    with pytest.raises(NotFound, match="alias 'live' points to collection 'gone', which does not"):
        check_names(["live"], THERE, {"live": "gone"}, may_miss=False)
    check_names(["live"], THERE, {"live": "gone"}, may_miss=True)


def test_a_typo_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(NotFound, match="'document' does not exist") as raised:
        check_names(["document"], THERE, ALIASES, may_miss=False)
    assert raised.value.hint == "did you mean 'documents'?"
    with pytest.raises(NotFound) as raised:
        check_names(["x"], THERE, ALIASES, may_miss=False)
    assert "documents, live, users" in raised.value.hint
    with pytest.raises(NotFound) as raised:
        check_names(["lives"], THERE, ALIASES, may_miss=False)
    assert raised.value.hint == "did you mean 'live'?"
    check_names(["document"], THERE, ALIASES, may_miss=True)


def test_only_an_alias_can_be_fenced() -> None:
    """One that a running backup has fenced counts as well."""
    check_fenced(["live"], THERE, ALIASES)
    check_fenced(["live"], THERE, {"live@fence-7": "documents"})
    with pytest.raises(Refused, match="the alias does not exist") as raised:
        check_fenced(["life"], THERE, ALIASES)
    assert raised.value.hint == "did you mean 'live'?"
    with pytest.raises(Refused, match="it is a collection, not an alias") as raised:
        check_fenced(["documents"], THERE, ALIASES)
    assert "live" in raised.value.hint


def test_what_is_named_and_excluded_is_refused() -> None:
    with pytest.raises(Invalid, match="'a' is named and excluded"):
        check_selection(["b", "a"], ["a", "c"])
    check_selection([], ["a"])
