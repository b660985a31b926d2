"""Nouns of the command line, known by name and one line of help before their modules are loaded.

Help, `--version` and completion run at each TAB, so they load no more than the words typed need.
Order: the modules under `commands` import nothing at their top that only the act needs: clients,
stores and tables are imported by the functions that use them.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from cleancut.cli.settings import Explained
from cleancut.runtime.commands import Group


class Noun(NamedTuple):
    """Where a command of the root is defined, `module:name`, and its help in one line."""

    place: str
    help: str

    def load(self) -> click.Command:
        module, _, name = self.place.partition(":")
        found = getattr(import_module(f"cleancut.cli.commands.{module}"), name)
        assert isinstance(found, click.Command)
        return found

    def short(self, limit: int = 45) -> str:
        """Its help, cut to `limit` characters as that of any command."""
        return click.Command(None, help=self.help).get_short_help_str(limit)


NOUNS = {
    "adopt": Noun(
        "cluster:adopt",
        "Make this cluster the owner of its store, after etcd was lost or the store was moved.",
    ),
    "agent": Noun("agent:agent", "Put agents next to Qdrant's peers in Kubernetes."),
    "alerts": Noun("monitoring:alerts", "Print the alerting rules of this version."),
    "archive": Noun("archive:archive", "Show the continuous archive of the shards' logs."),
    "backup": Noun("backup:backup", "Create, show, verify and delete backups."),
    "cluster": Noun(
        "cluster:cluster",
        "List the clusters of a store, mend its format.json, remove peers, and limit agents.",
    ),
    "completion": Noun(
        "version:completion", 'Print a completion script: `eval "$(cleancut completion bash)"`.'
    ),
    "dashboard": Noun(
        "monitoring:dashboard",
        "Print the Grafana dashboard of this version: JSON, or a ConfigMap with it as YAML.",
    ),
    "demo": Noun("demo:demo", "Start a small cluster, back it up, lose it and restore it."),
    "doctor": Noun(
        "doctor:doctor", "Find problems of the cluster and of its backups, each with its fixes."
    ),
    "key": Noun("key:key", "Create store keys, and manage which of them open an encrypted store."),
    "mark": Noun(
        "archive:mark",
        "Name a moment at which no archived shard was written to, such as before a migration.",
    ),
    "rebalance": Noun(
        "rebalance:rebalance",
        "Spread shards evenly over the peers, and restore replication factors.",
    ),
    "report": Noun(
        "report:report", "Write a report of a store as one HTML file, without a script."
    ),
    "reshard": Noun("reshard:reshard", "Change the number of shards of a collection."),
    "restore": Noun("restore:restore", "Restore backups."),
    "schedule": Noun("schedule:schedule", "Show, define, trigger, pause and resume schedules."),
    "solo": Noun(
        "solo:solo", "Back up a Qdrant of one node, on a schedule too: one process, no etcd."
    ),
    "status": Noun(
        "status:status",
        "Say whether each collection has a recent whole backup, then what runs and what is wrong.",
    ),
    "token": Noun("token:token", "Create bearer tokens for the coordinators' --tokens-file."),
    "undelete": Noun("undelete:undelete", "Put points of a backup back into a live collection."),
    "version": Noun(
        "version:version",
        "Show the versions of this program and of the formats that it reads and writes.",
    ),
}
"""Checked against the commands themselves by a test."""
_WITH_HELP = {**NOUNS, "help": Noun("", "Show the help of a command, as --help does.")}
"""`Group` carries `help` out, so it is none of the commands."""


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name; one is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = NOUNS[name].load()
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**NOUNS, **self._loaded})

    def __len__(self) -> int:
        return len({**NOUNS, **self._loaded})

    def __contains__(self, name: object) -> bool:
        return name in NOUNS or name in self._loaded


class Root(Explained, Group):
    """The group of `NOUNS`, whose help and completion load none of them."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest, commands=_Commands())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, _WITH_HELP))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, noun.short(limit)) for name, noun in sorted(_WITH_HELP.items())]
            )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in sorted(_WITH_HELP) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_WITH_HELP[name].short()) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
