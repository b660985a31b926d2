"""Stories of work that a command does in a store alone: verifications, drills and copies."""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple, TypeVar

from cleancut.api.checks import Drill, Verdict
from cleancut.api.copies import Copy
from cleancut.cli.exit_codes import say
from cleancut.core.format.paths import Paths
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.maintenance.stories import ASKED_BY_VARIABLE, GOOD, SCHEDULE_VARIABLE
from cleancut.core.primitives.errors import CleancutError, Invalid, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.states import State
from cleancut.ports.store import Store
from cleancut.repository.history import put_story

T = TypeVar("T")
_LONGEST = 500


class Found(NamedTuple):
    """What a story says of a result. `epoch`: of the one backup that it is of, or 0."""

    problems: Collection[str]
    facts: dict[str, Any]
    epoch: int = 0


async def with_story(
    store: Store,
    paths: Paths,
    kind: StoryKind,
    work: Callable[[], Awaitable[T]],
    *,
    found_by: Callable[[T], Found],
) -> T:
    """What `work` gives, whose story is in the store then, also if it failed; what names a backup
    that is not there, by hand, has none. A store that takes no story gets a notice on stderr."""
    began_s, schedule = time.time(), os.environ.get(SCHEDULE_VARIABLE, "")

    async def record(found: Found) -> None:
        facts = {"outcome": next(iter(found.problems), GOOD)[:_LONGEST], **found.facts}
        story = Story(
            kind=kind,
            id=secrets.token_hex(8),
            at=format_time(began_s),
            ended_at=format_time(time.time()),
            state=State.FAILED if found.problems else State.DONE,
            epoch=Epoch(found.epoch),
            asked_by="" if schedule else os.environ.get(ASKED_BY_VARIABLE) or _user(),
            facts={"schedule": schedule, **facts} if schedule else facts,
        )
        try:
            await put_story(store, paths, story)
        except CleancutError as error:
            say(f"not recorded in the store's history: {error.message}")

    try:
        result = await work()
    except CleancutError as error:
        if schedule or not isinstance(error, Invalid | NotFound):
            await record(Found([error.message], {}))
        raise
    await record(found_by(result))
    return result


def found_by_verify(verdict: Verdict) -> Found:
    facts = {"level": verdict.level, "read_bytes": verdict.read_bytes}
    problems = (*verdict.missing, *verdict.problems)
    return Found(problems, {**facts, "problems": len(problems)}, verdict.epoch)


def found_by_drill(drill: Drill) -> Found:
    facts: dict[str, Any] = {"shards": len(drill.shards), "read_bytes": drill.read_bytes}
    if drill.recall is not None:
        facts["recall"] = drill.recall
    problems = (*drill.damaged, *drill.problems)
    return Found(problems, {**facts, "problems": len(problems)}, drill.epoch)


def found_by_copy(copy: Copy) -> Found:
    """The URL without what follows a question mark: settings, of which some are secret."""
    done = [one.epoch for one in copy.backups if one.state == "copied"]
    facts = {
        "to": copy.to.partition("?")[0],
        "backups": ", ".join(f"#{epoch}" for epoch in done),
        "objects": copy.objects,
        "stored_bytes": copy.size_bytes,
        "problems": len(copy.problems),
    }
    return Found(copy.problems, facts, done[0] if len(done) == 1 else 0)


def _user() -> str:
    """Who runs this process, and where; the place alone, where users have no names."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (OSError, KeyError):
        return f"@{platform.node()}"
