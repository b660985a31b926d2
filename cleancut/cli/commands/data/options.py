"""Options that select points, and where shards are opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cleancut.core.points.selection import Selection, parse_filter, parse_ids
from cleancut.core.primitives.errors import Invalid

F = TypeVar("F", bound=Callable[..., Any])

collection_option = click.option(
    "--collection", "-c", required=True, metavar="NAME", help="The collection."
)
scratch_option = click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where shards are unpacked. Default: the system's temporary directory.",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    default=lambda: min(4, os.cpu_count() or 1),
    show_default="the number of processors, at most 4",
    help="How many shards are open at a time, each in a process of its own.",
)
filter_option = click.option(
    "--filter",
    "filter_",
    metavar="JSON|@FILE",
    help="Only points that this filter of Qdrant matches.",
)
shard_keys_option = click.option(
    "--shard-key",
    "shard_keys",
    multiple=True,
    metavar="KEY",
    help="Only points under this shard key; repeatable. Default: all keys.",
)


def selection_options(function: F) -> F:
    """--ids, --filter and --shard-key; see `selection_of`."""
    for option in (
        shard_keys_option,
        filter_option,
        click.option(
            "--ids",
            multiple=True,
            metavar="ID,...|@FILE",
            help="Only these points, under every shard key; repeatable. What is given intersects.",
        ),
    ):
        function = option(function)
    return function


def selection_of(
    ids: tuple[str, ...], filter_: str | None, shard_keys: tuple[str, ...]
) -> Selection:
    """Raises: Invalid."""
    return Selection(
        ids=parse_ids([text_of(one, "--ids") for one in ids]),
        filter=None if filter_ is None else parse_filter(text_of(filter_, "--filter")),
        shard_keys=shard_keys,
    )


def text_of(given: str, option: str) -> str:
    """What is given, or in the file that it names."""
    if not given.startswith("@"):
        return given
    name = given[1:]
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(
            f"{option}: cannot read {name!r}: {error.strerror}", "@FILE names a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{option}: {name!r} is not UTF-8 text", "see --help") from error
