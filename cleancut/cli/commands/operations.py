"""Lists and views of operations: as the coordinators have them, or from a store's history alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from cleancut.cli.exit_codes import say
from cleancut.cli.render.output import emit, emit_many
from cleancut.cli.settings import Settings
from cleancut.cli.wait import ask

if TYPE_CHECKING:
    from cleancut.client.client import Client


def list_operations(
    settings: Settings, kind: str, limit: int, page_of: Callable[[Client], Awaitable[Any]]
) -> None:
    """Prints the newest `limit` of a kind. `page_of`: asks the coordinators for them."""
    many = f"{kind}s"
    if settings.offline:
        from cleancut.cli.offline_history import list_ended

        emit_many(settings.output, many, list_ended(settings, kind, limit))
        return
    page = ask(settings, page_of)
    found = getattr(page, many)
    if page.next_page_token:
        say(f"only the newest {len(found)} are shown; use --limit to show more")
    emit_many(settings.output, many, found)


def show_operation(
    settings: Settings, kind: str, name: str, found_by: Callable[[Client], Awaitable[Any]]
) -> None:
    """Prints the one of this id. `found_by`: asks the coordinators for it."""
    if settings.offline:
        from cleancut.cli.offline_history import show_ended

        found = show_ended(settings, kind, name)
    else:
        found = ask(settings, found_by)
    emit(settings.output, kind, found)
