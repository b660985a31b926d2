"""`cleancut report`: the backups of a store as one HTML file, from the store alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.terminal import write_out

if TYPE_CHECKING:
    from cleancut.api.status import Status
    from cleancut.core.format.paths import Paths
    from cleancut.ports.store import Store

_MOST_STORIES = 1000


@click.command(cls=Verb)
@click.pass_context
def report(context: click.Context, /) -> None:
    """Write a report of a store as one HTML file, without a script.

    It needs --store, and shows what the status page shows of backups, checks and growth: to an
    auditor, or after the loss of the whole cluster.
    """
    from cleancut.cli.offline import with_store
    from cleancut.cli.status_sources import read_status_offline

    settings = settings_of(context)
    status = read_status_offline(settings)

    async def rendered(store: Store, paths: Paths) -> str:
        return await _rendered(store, paths, status)

    write_out(with_store(settings, rendered))


async def _rendered(store: Store, paths: Paths, status: Status) -> str:
    import time

    from cleancut.api.from_manifest import shown_group
    from cleancut.api.from_story import (
        backup_of,
        rebalance_of,
        reshard_of,
        restore_of,
        shown_stories,
        undelete_of,
        work_of,
    )
    from cleancut.core.format.timeline import timeline_of
    from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
    from cleancut.core.primitives.ids import Epoch
    from cleancut.core.protocol.states import IN_CATALOG
    from cleancut.page.report import DETAILS, report_of
    from cleancut.page.seen import MOST_WORK, Seen
    from cleancut.repository.catalog import load_group
    from cleancut.repository.history import newest_stories, read_stories
    from cleancut.repository.shown_catalog import ShownCatalog, newest_first

    catalog = ShownCatalog(store, paths)
    while not catalog.complete:
        await catalog.read()
    newest = await newest_stories(store, paths, (), most=_MOST_STORIES, now_s=time.time())
    stories = await read_stories(store, newest)
    failed = shown_stories(stories, backup_of)
    details = []
    for one in [each for each in catalog.backups if each.state in IN_CATALOG][:DETAILS]:
        try:
            manifest = await load_group(store, paths, Epoch(one.epoch))
        except (Corrupt, NotFound, Refused):
            continue
        shown = shown_group(manifest, damage=catalog.damage)
        details.append((shown, timeline_of(manifest)))
    url = status.store.url if status.store else ""
    seen = Seen(
        paths.cluster,
        at_s=time.time(),
        complete=True,
        protection=status.protection,
        backups=newest_first([*catalog.backups, *failed]),
        restores=tuple(shown_stories(stories, restore_of)),
        rebalances=tuple(shown_stories(stories, rebalance_of)),
        reshards=tuple(shown_stories(stories, reshard_of)),
        undeletes=tuple(shown_stories(stories, undelete_of)),
        work=tuple(shown_stories(stories, work_of))[:MOST_WORK],
        checks=catalog.checks,
        timelines={one.id: timeline_of(one) for one in stories},
    )
    return report_of(seen, details, url.partition("?")[0])
