"""What the doctor says of the archive of logs."""

from __future__ import annotations

import shlex

import pytest

from cleancut.core.doctor.archive import find_archive_problems
from cleancut.core.doctor.facts import ArchiveHealth, ArchiveShard, Facts
from cleancut.core.primitives.ids import ShardId

NOW = 10_000.0
GOOD = ArchiveShard(collection="docs", shard=ShardId(0), chain="c", base=7, lag_s=9.0)
BARE = ArchiveShard(collection="docs", shard=ShardId(1), chain="d")
LATE = ArchiveShard(collection="docs", shard=ShardId(2), chain="e", base=7, lag_s=90.0)
LOST = ArchiveShard(collection="docs", shard=ShardId(3), problem="agent a is away")


@pytest.mark.parametrize(
    ("shards", "marked_s", "kinds"),
    [
        ([], None, []),
        ([GOOD], NOW - 10, []),
        ([GOOD, BARE], NOW - 10, ["archive_without_base"]),
        ([GOOD, LATE], NOW - 10, ["archive_late"]),
        ([GOOD, LOST], NOW - 10, ["not_archived"]),
        ([GOOD], NOW - 700, ["no_mark"]),
        ([GOOD], None, ["no_mark"]),
    ],
)
def test_what_keeps_the_archive_from_its_promise_is_said(
    shards: list[ArchiveShard], marked_s: float | None, kinds: list[str]
) -> None:
    health = ArchiveHealth(shards=tuple(shards), last_mark_s=marked_s)
    facts = Facts(peers=(), agents=(), now_s=NOW, archive=health)
    found = list(find_archive_problems(facts))
    assert [one.kind for one in found] == kinds
    assert all(one.fixes for one in found)


def test_many_shards_make_one_line() -> None:
    shards = tuple(
        ArchiveShard(collection="docs", shard=ShardId(n), problem="why") for n in range(9)
    )
    facts = Facts(
        peers=(), agents=(), now_s=NOW, archive=ArchiveHealth(shards=shards, last_mark_s=NOW)
    )
    (found,) = find_archive_problems(facts)
    assert "'docs'/4 and 4 more" in found.what
    assert "why" in found.what


def test_a_command_to_paste_names_the_collection_and_runs_nothing_else() -> None:
    """Qdrant takes names such as this one."""
    bare = ArchiveShard(collection="a $(reboot); b", shard=ShardId(0), chain="c")
    health = ArchiveHealth(shards=(bare,), last_mark_s=NOW)
    facts = Facts(peers=(), agents=(), now_s=NOW, archive=health)
    (found,) = find_archive_problems(facts)
    assert shlex.split(found.fixes[0].command)[-1] == bare.collection
