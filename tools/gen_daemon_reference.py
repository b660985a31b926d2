"""Generator of the references of the programs and the settings file, from their own code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import EnumType
from pathlib import Path
from typing import Any

import click
import msgspec

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.auth.roles import Role
from cleancut.core.maintenance.notify_rules import NotifyRule
from cleancut.core.maintenance.retention import Retention
from cleancut.core.maintenance.schedule import ScheduleRule
from cleancut.core.maintenance.stores import StoreRule
from cleancut.core.protocol.fence import FenceRule
from cleancut.daemon_settings import ENV_PREFIX
from cleancut_agent.main import cli as agent
from cleancut_coordinator.main import cli as coordinator
from cleancut_operator.main import cli as operator
from cleancut_solo.main import cli as solo

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_MADE = "Written by `make docs` from the program itself; change it there.\n"
_FLAGS = """
A setting is taken from its flag, else from its environment variable, else from the TOML file of
`--config`, where its key is the flag without the leading dashes. Secrets are given as files.
"""
_SETTINGS = """
`cleancut-coordinator --config FILE` reads this TOML file; give the same file to all coordinators.
The file of [`cleancut solo`](solo.md) has the same tables, and its own flags as top-level keys.
Top-level keys are the flags of the [coordinator](coordinator.md) without their leading dashes, such
as `fence-budget = 2.0`; the agent's file has the keys of the [agent](agent.md), and of the tables
`[store.NAME]` alone. TOML has no key `store` next to these: write the main store as `url` in a
table `[store]`.
Durations are seconds, or texts such as `"90s"`, `"10m"`, `"2h"` and `"7d"`. Unknown tables and keys
are refused; `cleancut-coordinator --config FILE --check-config` checks a file. A change takes
effect when the coordinators are restarted.
"""
_MEANINGS: Mapping[str, Mapping[str, str]] = {
    "[archive]": {
        "collections": "Collections whose logs are archived, `*` for any characters; empty: none.",
        "exclude": "Names and aliases that do not count; another name of a collection does.",
        "chunk": "Duration that operations wait at most to be stored, from 1 s to 1 h.",
        "keep": "Duration for which they stay in the store.",
        "mark_every": "Duration between two looks for a moment at which all shards stand still.",
    },
    "[[fence]]": {
        "collection": "Collection that this fence protects.",
        "alias": "Alias that writers use; it is renamed while shards are cut.",
        "pause": "URL that asks the writers to pause.",
        "resume": "URL that lets them continue.",
        "token_file": "File with a bearer token for both URLs.",
    },
    "[notify.NAME]": {
        "url": "URL that events are posted to; it, or `url-file`, is required.",
        "url_file": "File that holds the URL, if it is a secret; it may be replaced at any time.",
        "on": "Events that are sent.",
        "template": "Form of the body.",
        "start": "Of a ping: URL for the start of a backup, or what is appended to `url`.",
        "fail": "Of a ping: URL for failures, or what is appended to `url`.",
        "schedules": "Only what these schedules started; empty: everything.",
        "token_file": "File with a bearer token.",
        "insecure": "Allow `http://` to another host, whose network then sees the event.",
    },
    "[retention]": {
        "keep_last": "Newest backups to keep.",
        "keep_hourly": "Hours of which the newest backup is kept.",
        "keep_daily": "Days of which the newest backup is kept.",
        "keep_weekly": "Weeks, beginning on Monday, of which the newest backup is kept.",
        "keep_monthly": "Months of which the newest backup is kept.",
        "keep_yearly": "Years of which the newest backup is kept.",
        "max_age_days": "Age in days at which backups expire in any case; 0: never.",
        "min_count": "Newest backups that stay in any case.",
    },
    "[schedule.NAME]": {
        "cron": "Times: minute, hour, day of month, month, day of week; or `@daily` and the like.",
        "do": "What is started.",
        "time_zone": "Time zone of `cron`.",
        "jitter": "Duration by which a start may be delayed, the same for one time.",
        "start_within": "Duration after which a start that was not possible is skipped; 0: never.",
        "overlap": "What happens while the previous backup is still running.",
        "collections": "Collections of a backup or a drill; empty: all.",
        "exclude": "Collections to leave out of a backup.",
        "allow_missing": "Leave out collections that cannot be backed up: the backup is partial.",
        "allow_empty": "Allow a backup of a cluster without collections.",
        "require_point_in_time": "Fail instead of committing a backup that is not point-in-time.",
        "attempts": "Attempts, from 1 to 20.",
        "fence": "Fences as of `backup create --fence`; empty: as configured.",
        "fence_budget": "Duration for which writes may be held off; 0: as configured.",
        "retention": "Rules of this schedule's backups, with the keys of `[retention]`.",
        "percent": "Per cent of the data that a verification, or a copy afterwards, reads.",
        "shards": "Shards that a drill opens; 0: all.",
        "to": "Store that a copy goes to: NAME of a `[store.NAME]`.",
        "max_age": "Age at which its newest result is too old; 0: 1.5 times its longest gap.",
        "labels": 'Labels of its backups, such as `{ team = "search" }`.',
    },
    "[store.NAME]": {
        "url": "URL of the store; `profile=` in it chooses credentials of their own.",
        "key_file": "File with a key of its own; without one, objects stay encrypted as they are.",
        "key_command": "Command that prints that key.",
        "upload_rate": 'Bytes a second that a copy moves, also as `"50MiB"`; 0: no limit.',
        "retention": "Rules of the backups in this store, with the keys of `[retention]`.",
    },
}
_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "[archive]": ArchiveSettings,
    "[[fence]]": FenceRule,
    "[notify.NAME]": NotifyRule,
    "[retention]": Retention,
    "[schedule.NAME]": ScheduleRule,
    "[store.NAME]": StoreRule,
}


def flags(program: click.Command, name: str) -> str:
    """The page of one program's flags."""
    rows = [_flag(each) for each in program.params if isinstance(each, click.Option)]
    table = ["| flag | environment | default | meaning |", "|---|---|---|---|", *rows]
    head = [f"# {name}", "", _MADE.rstrip(), _FLAGS.rstrip(), ""]
    return "\n".join([*head, *table]) + "\n"


def _flag(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('x')))}"
    text, _, computed = (option.help or "").partition("  [default: ")
    default = computed.rstrip("]") or _default(option)
    variable = f"`{ENV_PREFIX}_{(option.name or '').upper()}`" if option.allow_from_autoenv else ""
    written = f"{option.opts[0]}{value}".replace("|", "\\|")
    return f"| `{written}` | {variable} | {default} | {text} |"


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    given = option.default
    shown = isinstance(given, str | int | float) and not isinstance(given, bool) and given != ""
    return f"`{given}`" if shown else ""


def settings() -> str:
    """The page of the settings file's tables."""
    parts = ["# Settings file\n", _MADE.rstrip(), _SETTINGS]
    for name, struct in _TABLES.items():
        rows = [_key(field, _MEANINGS[name]) for field in msgspec.structs.fields(struct)]
        parts += [
            f"## `{name}`\n",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    roles = ", ".join(f"`{role.value}`" for role in Role if role.value)
    parts += [
        "## `[roles]`\n",
        f"Keys: {roles}. Each is a list of certificate names (`dns:`, `email:`, `ip:` or a URI);",
        "see [Security](../how-to/security.md#certificates).",
    ]
    return "\n".join(parts) + "\n"


def _key(field: msgspec.structs.FieldInfo, meanings: Mapping[str, str]) -> str:
    key = field.encode_name
    default = "required" if field.required else _shown(field.default)
    return f"| `{key.replace('_', '-')}` | {_type(field.type)} | {default} | {meanings[key]} |"


def _shown(value: Any) -> str:
    if value in ("", (), None, msgspec.NODEFAULT):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(kind: Any) -> str:
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if isinstance(kind, EnumType):
        return " or ".join(f'`"{one.value}"`' for one in kind)  # type: ignore[var-annotated]
    return names.get(kind) or ("list of texts" if "tuple" in str(kind) else "table")


PAGES: Mapping[str, Callable[[], str]] = {
    "agent.md": lambda: flags(agent, "cleancut-agent"),
    "coordinator.md": lambda: flags(coordinator, "cleancut-coordinator"),
    "operator.md": lambda: flags(operator, "cleancut-operator"),
    "settings.md": settings,
    "solo.md": lambda: flags(solo, "cleancut solo"),
}


if __name__ == "__main__":
    for page, made in PAGES.items():
        (FOLDER / page).write_text(made(), encoding="utf-8")
    sys.exit(0)
