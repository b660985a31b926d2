"""The flags of a restore that choose what is restored, under which names, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleancut.cli.options import TIME, collections_option
from cleancut.core.primitives.numbers import whole_number

if TYPE_CHECKING:
    from cleancut.api.restores import MomentOptions, RestoreOptions, ShardNumber

F = TypeVar("F", bound=Callable[..., Any])

_WHAT = (
    collections_option,
    click.option(
        "--from-cluster",
        metavar="NAME",
        default="",
        help="Restore a backup of this other cluster in the same store.",
    ),
    click.option(
        "--from",
        "from_store",
        metavar="NAME",
        default="",
        help="Restore from the store of this name in the settings of coordinators and agents.",
    ),
    click.option(
        "--rename",
        "renames",
        multiple=True,
        metavar="OLD=NEW",
        help="Restore under another name; repeatable.",
    ),
    click.option(
        "--beside",
        is_flag=True,
        help="Restore as NAME@ID; at the end an alias NAME points to it.",
    ),
    click.option(
        "--replace",
        is_flag=True,
        help="Point existing aliases to the restored data; the old data is kept until `clean`.",
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Put the one collection in the place of the real one of its name: restored as NAME@ID;"
        " then NAME is deleted, and an alias NAME points to it. NAME is backed up before.",
    ),
    click.option(
        "--replicas",
        type=click.IntRange(1, 100),
        metavar="N",
        help="Replicas of each shard. Default: as in the backup.",
    ),
    click.option(
        "--quotas",
        is_flag=True,
        help="Set the cluster-wide quotas of the backup again (Qdrant 1.19 and newer).",
    ),
    click.option(
        "--shards",
        multiple=True,
        metavar="[NAME=]N",
        help="Number of shards that collections have in the end, by reshards that follow; of the"
        " collection NAME, or of that shard key if only one collection is restored. Repeatable."
        " Default: as in the backup.",
    ),
    click.option(
        "--offline",
        is_flag=True,
        help="With --shards: build the shards here from the backup's points, before the restore,"
        " and not by reshards after it. Needs `cleancut[data]`, and --store and --cluster.",
    ),
    click.option(
        "--only-shard",
        "only_shards",
        multiple=True,
        type=click.IntRange(0),
        metavar="N",
        help="Put only this lost shard of one existing collection back in place; repeatable.",
    ),
    click.option(
        "--peer", type=click.IntRange(0), metavar="ID", help="Where --only-shard puts it."
    ),
    click.option(
        "--at",
        type=TIME,
        metavar="TIME",
        help="Roll the backup forward to the newest mark at or before this time.",
    ),
    click.option(
        "--to", "mark", metavar="MARK", default="", help="Roll it forward to the mark of this name."
    ),
    click.option(
        "--before",
        metavar="SHARD:INDEX",
        default="",
        help="Roll it forward to just before this operation; see `backup log`.",
    ),
    click.option(
        "--without",
        metavar="SHARD:INDEX",
        default="",
        help="Roll it forward without this operation, to the newest mark, or to that of --at or"
        " --to.",
    ),
    click.option(
        "--exact",
        is_flag=True,
        help="With --at: the time itself, where each shard is cut by its agent's clock.",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="With --without: also if later operations depend on what was there.",
    ),
)


def what_options(function: F) -> F:
    """All of these flags; `options_of` reads them."""
    for option in reversed(_WHAT):
        function = option(function)
    return function


def _check_overwrite(what: dict[str, Any]) -> None:
    if not what["overwrite"]:
        if what.get("confirm"):
            raise click.UsageError("--confirm needs --overwrite")
        return
    for other in ("beside", "replace"):
        if what[other]:
            raise click.UsageError(f"--overwrite and --{other} exclude each other")
    if len(set(what["collections"])) != 1:
        raise click.UsageError("--overwrite needs one --collection NAME")


def options_of(what: dict[str, Any]) -> RestoreOptions:
    """Raises: UsageError, for flags that contradict each other."""
    from cleancut.api.restores import Rename, RestoreOptions

    renames = []
    for text in what["renames"]:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise click.UsageError(f"--rename {text!r} does not have the form OLD=NEW")
        renames.append(Rename(old_name=old, new_name=new))
    _check_only_shards(what)
    if what["offline"] and not what["shards"]:
        raise click.UsageError("--offline needs --shards")
    if what["beside"] and what["replace"]:
        raise click.UsageError("--beside and --replace exclude each other")
    _check_overwrite(what)
    return RestoreOptions(
        collections=what["collections"],
        from_cluster=what["from_cluster"],
        from_store=what["from_store"],
        quotas=what["quotas"],
        renames=tuple(renames),
        beside=what["beside"],
        replace=what["replace"],
        overwrite=what["overwrite"],
        confirm=what.get("confirm", ""),
        replicas=what["replicas"] or 0,
        only_shards=what["only_shards"],
        peer_id=what["peer"],
        rebalance=what.get("rebalance", False),
        strict=what.get("strict", False),
        accept_count=what.get("accept_count", False),
        target=_moment_of(what),
        shards=tuple(map(_number_of, what["shards"])),
        offline=what["offline"],
    )


def _check_only_shards(what: dict[str, Any]) -> None:
    """Raises: UsageError."""
    if what["peer"] is not None and not what["only_shards"]:
        raise click.UsageError("--peer needs --only-shard")
    if not what["only_shards"]:
        return
    if len(what["collections"]) != 1:
        raise click.UsageError("--only-shard needs exactly one --collection")
    whole = ("renames", "beside", "replace", "overwrite", "replicas", "shards", "quotas")
    if any(what[flag] for flag in whole):
        raise click.UsageError(
            "--only-shard repairs a collection in place: no names, no --replicas, no --shards, no"
            " --quotas"
        )


def _number_of(text: str) -> ShardNumber:
    """Raises: UsageError."""
    from cleancut.api.restores import ShardNumber

    of, equals, digits = text.rpartition("=")
    number = whole_number(digits)
    if number is None or bool(of) != bool(equals):
        raise click.UsageError(f"--shards {text!r} has neither the form N nor NAME=N")
    return ShardNumber(of=of, shards=number)


def _moment_of(what: dict[str, Any]) -> MomentOptions | None:
    """Raises: UsageError."""
    from cleancut.api.restores import MomentOptions

    ends = [flag for flag in ("at", "mark", "before") if what[flag]]
    if len(ends) > 1:
        raise click.UsageError("--at, --to and --before exclude each other")
    if what["before"] and what["without"]:
        raise click.UsageError("--before and --without exclude each other")
    if what["exact"] and not what["at"]:
        raise click.UsageError("--exact needs --at")
    if what["force"] and not what["without"]:
        raise click.UsageError("--force needs --without")
    if not ends and not what["without"]:
        return None
    if what["only_shards"]:
        raise click.UsageError("--only-shard puts back what the backup holds, of no other moment")
    return MomentOptions(
        at=what["at"],
        mark=what["mark"],
        before=what["before"],
        without=what["without"],
        exact=what["exact"],
        force=what["force"],
    )
