"""`cleancut agent`: how an agent gets beside a Qdrant peer in Kubernetes. Asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from cleancut import __version__
from cleancut.cli.output import document
from cleancut.cli.settings import Noun, settings_of
from cleancut.errors import Invalid
from cleancut.io.store import FileUrl, parse_store_url

TEMPLATE = Path(__file__).with_name("agent_values.yaml")
_PLAIN_URL = "http://127.0.0.1:6333"
_TLS_URL = "https://$(POD_NAME).qdrant-headless:6333"


@click.group(cls=Noun, name="agent")
def agent() -> None:
    """Put agents beside Qdrant's peers in Kubernetes."""


@agent.command()
@click.option("--etcd", required=True, metavar="H:P[,H:P]", help="Endpoints of etcd.")
@click.option(
    "--image", default=f"cleancut-agent:{__version__}", show_default=True, help="The agent's image."
)
@click.option("--etcd-secret", default="", metavar="NAME", help="Secret: ca.crt, tls.crt, tls.key.")
@click.option(
    "--store-secret",
    default="",
    metavar="NAME[:KEY]",
    help="Secret with an AWS credentials file; its key is `credentials`.",
)
@click.option(
    "--store-tls-secret", default="", metavar="NAME", help="Secret with the S3 server's ca.crt."
)
@click.option(
    "--store-claim",
    default="",
    metavar="NAME",
    help="Volume claim that all pods share, for a file:// store.",
)
@click.option(
    "--api-key-secret",
    default="",
    metavar="NAME[:KEY]",
    help="Secret with Qdrant's API key, such as qdrant-apikey; its key is `api-key`.",
)
@click.option(
    "--qdrant-secret", default="", metavar="NAME", help="Secret with Qdrant's ca.crt, for TLS."
)
@click.option(
    "--qdrant-url",
    default="",
    metavar="URL",
    help=f"The own peer. Default: {_PLAIN_URL}, with --qdrant-secret {_TLS_URL}.",
)
@click.option("--extra-secret", default="", metavar="NAME", help="Mounted to /etc/cleancut/extra.")
@click.option("--extra-arg", multiple=True, metavar="FLAG", help="A flag more; repeatable.")
@click.option("--http-port", type=click.IntRange(1024, 65535), default=7401, show_default=True)
@click.option("--spill-size", default="8Gi", show_default=True, help="Of the spill volume.")
@click.option("--memory", default="1Gi", show_default=True, help="The agent's limit.")
@click.option("--restricted", is_flag=True, help="Make the pod fit for `restricted` namespaces.")
@click.pass_context
def values(context: click.Context, /, **flags: Any) -> None:
    """Print values for the official Qdrant chart that add an agent to each of its pods.

    --store and --cluster (or CLEANCUT_STORE, CLEANCUT_CLUSTER) name the store and the cluster. What
    the secrets hold is never asked for: they are mounted, and may come later.
    """
    settings = settings_of(context)
    store, cluster = settings.catalog()
    where = parse_store_url(store)
    path = str(where.root) if isinstance(where, FileUrl) else ""
    if flags["store_claim"] and not path:
        raise Invalid("--store-claim is for a file:// store", "S3 needs no volume")
    store_secret, store_key = _split(flags.pop("store_secret"), "credentials")
    api_key_secret, api_key_key = _split(flags.pop("api_key_secret"), "api-key")
    url = flags.pop("qdrant_url") or (_TLS_URL if flags["qdrant_secret"] else _PLAIN_URL)
    text = fill(
        TEMPLATE.read_text(encoding="utf-8"),
        {
            **flags,
            "cluster": cluster,
            "store": store,
            "store_path": path,
            "qdrant_url": url,
            "store_secret": store_secret,
            "store_key": store_key,
            "api_key_secret": api_key_secret,
            "api_key_key": api_key_key,
        },
    )
    if settings.output == "json":
        document("json", {"values": yaml.safe_load(text)})
    else:
        click.echo(text, nl=False)


def fill(template: str, words: Mapping[str, object]) -> str:
    """`template` with every `${word}` filled in; lines from `#for word` to `#end` once for each of
    its values, not at all for none. Raises: Invalid, for what YAML would take apart.

    The chart does the same with the same file.
    """
    lines: list[str] = []
    block: list[str] = []
    name = ""
    for line in template.splitlines():
        match line.split():
            case ["#for", name]:
                block = []
            case ["#end"]:
                for value in _values(words[name]):
                    lines += [one.replace(f"${{{name}}}", value) for one in block]
                name = ""
            case _:
                (block if name else lines).append(line)
    text = "\n".join(lines) + "\n"
    for word, value in words.items():
        if not isinstance(value, Sequence) or isinstance(value, str):
            text = text.replace(f"${{{word}}}", "".join(_values(value)))
    return text


def _values(value: object) -> list[str]:
    """None, one, or several."""
    found = [value] if isinstance(value, str | int) else list(value)  # type: ignore[call-overload]
    texts = [str(one) for one in found if one not in ("", False)]
    if any(set(text) & set('"\\\n') for text in texts):
        raise Invalid(
            f"{texts[0]!r} has quotes, backslashes or line ends", "nothing here needs any"
        )
    return texts


def _split(text: str, key: str) -> tuple[str, str]:
    """A secret's name and its key."""
    name, _, named = text.partition(":")
    return name, named or key
