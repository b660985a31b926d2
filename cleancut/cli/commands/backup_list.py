"""`cleancut backup list`: which backups there are, chosen and in an order that one asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cleancut.cli.exit_codes import say
from cleancut.cli.options import TIME, completed, limit_option
from cleancut.cli.render.output import TABLES, emit_many
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.core.primitives.labels import has_labels
from cleancut.core.primitives.timestamps import parse_time

if TYPE_CHECKING:
    from cleancut.api.backups import Backup

_MOST = 500
_STATES = (
    *("ok", "partial", "damaged", "corrupt", "imported", "pending", "running", "aborted"),
    *("canceled", "failed", "deleting", "needs operator"),
)
_SORTS: dict[str, Callable[[Any], Any]] = {
    "time": lambda one: one.cut_at or one.ended_at or one.created_at or "",
    "size": lambda one: one.bytes.protected,
    "added": lambda one: one.bytes.stored,
    "number": lambda one: one.epoch,
}


class Filters(NamedTuple):
    """What a backup has to be to be shown; "" and () are any. `deleted`: those too that are."""

    schedules: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    since: str = ""
    labels: tuple[str, ...] = ()
    deleted: bool = False

    @property
    def chooses_all(self) -> bool:
        return self == Filters(deleted=self.deleted)

    def chosen(self, backups: Iterable[Backup]) -> list[Backup]:
        return [one for one in backups if self._fits(one)]

    def _fits(self, one: Backup) -> bool:
        from cleancut.api.state_words import Word, state_of

        word, at = state_of(one), one.cut_at or one.ended_at or one.created_at
        if word is Word.DELETING and not self.deleted and "deleting" not in self.states:
            return False
        if self.states and word not in self.states:
            return False
        if self.schedules and one.schedule not in self.schedules:
            return False
        if self.since and (not at or parse_time(at) < parse_time(self.since)):
            return False
        if not has_labels(one.labels, self.labels):
            return False
        return all(one.contains(name) for name in self.collections)


@click.command("list", cls=Verb)
@limit_option
@click.option(
    "--all",
    "all_",
    is_flag=True,
    help="Also deleted ones, and those that failed or were canceled over 48 h ago, from the"
    " store's history.",
)
@click.option("--schedule", "schedules", multiple=True, metavar="NAME", help="Made by this one.")
@click.option(
    "--collection", "-c", "collections", multiple=True, metavar="NAME", help="That hold this one."
)
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="In this state.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY[=VALUE]",
    shell_complete=completed("label_keys"),
    help="With this label; repeatable.",
)
@click.option("--since", type=TIME, metavar="TIME", help="Younger: a time, or 7d.")
@click.option(
    "--sort", type=click.Choice(tuple(_SORTS)), help="Greatest first. Default: newest first."
)
@click.pass_context
def list_(
    context: click.Context, /, limit: int, all_: bool, sort: str | None, **given: Any
) -> None:
    """List backups, newest first."""
    settings = settings_of(context)
    chosen_by: dict[str, Any] = {name: value or "" for name, value in given.items()}
    filters = Filters(**chosen_by, deleted=all_)
    plain = filters.chooses_all and sort is None
    found, more = _read(settings, limit if plain else _MOST, all_=all_)
    chosen = filters.chosen(found)
    if sort is not None:
        chosen.sort(key=_SORTS[sort], reverse=True)
    if more:
        say(f"only the newest {len(found)} backups were looked at")
    elif len(chosen) > limit:
        say(f"only {limit} of {len(chosen)} are shown; use --limit to show more")
    if found and not chosen and settings.output in TABLES:
        say(f"none of the {len(found)} backups fits; without filters and with --all all are shown")
        return
    emit_many(settings.output, "backups", chosen[:limit])


def _read(settings: Settings, limit: int, *, all_: bool) -> tuple[list[Backup], bool]:
    """The newest ones, and whether there are more."""
    from cleancut.cli import offline
    from cleancut.cli.wait import ask

    if settings.offline:
        found = offline.list_backups(settings, limit)
        if all_:
            from cleancut.cli.offline_history import with_failed

            found = with_failed(settings, found, limit)
        return found, False
    page = ask(settings, lambda client: client.list_backups(limit, with_history=all_))
    return list(page.backups), bool(page.next_page_token)
