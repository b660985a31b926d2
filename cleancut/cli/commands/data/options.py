"""Options that select points, and where shards are opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleancut.cli.options import completed
from cleancut.core.primitives.errors import Invalid

if TYPE_CHECKING:
    from cleancut.core.points.selection import Selection
    from cleancut.qdrant.client import Qdrant

F = TypeVar("F", bound=Callable[..., Any])

collection_option = click.option(
    "--collection",
    "-c",
    required=True,
    metavar="NAME",
    shell_complete=completed("collections"),
    help="The collection.",
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


def qdrant_options(function: F) -> F:
    """--qdrant-url, --qdrant-api-key-file and --qdrant-ca; see `qdrant_of`."""
    for option in (
        click.option(
            "--qdrant-ca",
            "ca_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="CA that signed Qdrant's certificate. Default: the system's.",
        ),
        click.option(
            "--qdrant-api-key-file",
            "key_file",
            type=click.Path(path_type=Path),
            help="File with an API key for the collection.",
        ),
        click.option(
            "--qdrant-url",
            envvar="CLEANCUT_QDRANT_URL",
            show_envvar=True,
            metavar="URL",
            help="A Qdrant peer, or a load balancer of all.",
        ),
    ):
        function = option(function)
    return function


def qdrant_of(qdrant_url: str | None, key_file: Path | None, ca_file: Path | None) -> Qdrant:
    """Raises: UsageError without a URL; Invalid, for a wrong one, a key file that cannot be read,
    or a key in the clear."""
    from cleancut.qdrant.client import Qdrant
    from cleancut.qdrant.http import check_url

    if qdrant_url is None:
        raise click.UsageError("missing option --qdrant-url (or CLEANCUT_QDRANT_URL)")
    return Qdrant(qdrant_url, _key(check_url(qdrant_url), key_file), ca_file)


def _key(url: str, file: Path | None) -> str | None:
    if file is None:
        return None
    from cleancut.qdrant.http import check_key_line

    check_key_line(url)
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {file}: {error}", "see --qdrant-api-key-file") from error


def selection_of(
    ids: tuple[str, ...], filter_: str | None, shard_keys: tuple[str, ...]
) -> Selection:
    """Raises: Invalid."""
    from cleancut.core.points.selection import Selection, parse_filter, parse_ids

    return Selection(
        ids=parse_ids([text_of(one, "--ids") for one in ids]),
        filter=None if filter_ is None else parse_filter(text_of(filter_, "--filter")),
        shard_keys=shard_keys,
    )


def text_of(given: str, option: str) -> str:
    """What is given, or in the file that it names, without the mark that editors may begin with."""
    if not given.startswith("@"):
        return given
    name = given[1:]
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return text.removeprefix("\ufeff")
    except OSError as error:
        raise Invalid(
            f"{option}: cannot read {name!r}: {error.strerror}", "@FILE names a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{option}: {name!r} is not UTF-8 text", "see --help") from error
