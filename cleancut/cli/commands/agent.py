"""`cleancut agent`: values that run an agent next to each Qdrant peer in Kubernetes. Needs no
connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cleancut import __version__
from cleancut.cli.render.output import document
from cleancut.cli.settings import Noun, settings_of
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.errors import Invalid
from cleancut.runtime.addresses import parse_addresses

TEMPLATE = Path(__file__).with_name("agent_values.yaml")
PLAIN_URL = "http://127.0.0.1:6333"
TLS_URL = "https://$(POD_NAME).qdrant-headless:6333"
_QUANTITY = re.compile(r"([1-9][0-9]*(\.[0-9]+)?)([kMGTP]|[KMGTP]i)?")
_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "Pi": 1 << 50,
}
_REQUEST_MIB = 256
_LOGS_MIB = 128
"""Of the node's disk, for /tmp and what the container logs."""
NOTHING: Mapping[str, str] = dict.fromkeys(
    (
        *("etcd_secret", "store_secret", "store_tls_secret", "store_claim", "qdrant_secret"),
        *("api_key_secret", "extra_secret", "extra_arg", "restricted"),
        *("store_path", "store_key", "store_variable", "api_key_key"),
    ),
    "",
)
"""Words of the template that most set-ups have no value for."""


@click.group(cls=Noun, name="agent")
def agent() -> None:
    """Put agents next to Qdrant's peers in Kubernetes."""


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
    help="Secret with a file of credentials of the store; its key is `credentials`.",
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
    help=f"The local peer. Default: {PLAIN_URL}, with --qdrant-secret {TLS_URL}.",
)
@click.option(
    "--storage-volume",
    default="qdrant-storage",
    show_default=True,
    metavar="NAME",
    help="Qdrant's volume, to see what is free there; '' for none.",
)
@click.option("--extra-secret", default="", metavar="NAME", help="Mounted to /etc/cleancut/extra.")
@click.option(
    "--extra-arg", multiple=True, metavar="FLAG", help="Another flag of the agent; repeatable."
)
@click.option("--http-port", type=click.IntRange(1024, 65535), default=7401, show_default=True)
@click.option("--spill-size", default="8Gi", show_default=True, help="Size of the spill volume.")
@click.option("--memory", default="1Gi", show_default=True, help="The agent's memory limit.")
@click.option("--restricted", is_flag=True, help="Make the pod fit for `restricted` namespaces.")
@click.option("--patch", is_flag=True, help="For kustomize: a patch of a plain StatefulSet.")
@click.pass_context
def values(context: click.Context, /, patch: bool, **flags: Any) -> None:
    """Print values for the official Qdrant chart that add an agent to each of its pods.

    --store and --cluster (or CLEANCUT_STORE, CLEANCUT_CLUSTER) name the store and the cluster;
    without --cluster the only one that the store holds is meant. The contents of secrets are never
    needed: secrets are mounted, and may be created later.
    """
    import yaml

    from cleancut.cli.offline import store_and_cluster
    from cleancut.store.urls import CREDENTIALS_VARIABLES, FileUrl, parse_store_url

    settings = settings_of(context)
    settings.needs_both = True  # it reads the store only for the cluster's name
    store, cluster = store_and_cluster(settings)
    parse_addresses(flags["etcd"])
    _check_kube(flags)
    where = parse_store_url(store)
    path = str(where.root) if isinstance(where, FileUrl) else ""
    if flags["store_claim"] and not path:
        raise Invalid(
            "--store-claim is for a file:// store", "a bucket or container needs no volume"
        )
    if flags["restricted"] and patch:
        raise Invalid("--restricted sets values of the chart", "a StatefulSet has its own")
    flags["store_secret"], store_key = _split(flags["store_secret"], "credentials")
    flags["api_key_secret"], api_key_key = _split(flags["api_key_secret"], "api-key")
    flags["qdrant_url"] = flags["qdrant_url"] or (TLS_URL if flags["qdrant_secret"] else PLAIN_URL)
    named = {"cluster": cluster, "store": store, "store_path": path}
    variable = CREDENTIALS_VARIABLES.get(urlsplit(store).scheme, CREDENTIALS_VARIABLES["s3"])
    keys = {"store_key": store_key, "api_key_key": api_key_key, "store_variable": variable}
    sizes = derived_sizes(flags["spill_size"], flags["memory"])
    text = fill(TEMPLATE.read_text(encoding="utf-8"), {**flags, **named, **keys, **sizes})
    if patch:
        text = as_patch(text)
    if settings.output == "json":
        document("json", {"values": yaml.safe_load(text)})
    else:
        write_out(text)


def fill(template: str, words: Mapping[str, object]) -> str:
    """`template` with every `${word}` filled in; lines from `#for word` to `#end` once for each of
    its values, not at all for none. Raises: Invalid, for text that would break the YAML.

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
    for word, given in words.items():
        text = text.replace(f"${{{word}}}", "".join(_values(given)))
    return text


def as_patch(text: str) -> str:
    """The same agent as a strategic merge patch: containers and volumes are added by name."""
    import yaml

    found = yaml.safe_load(text)
    pod = {
        "metadata": {"annotations": found["podAnnotations"], "labels": found["podLabels"]},
        "spec": {"containers": found["sidecarContainers"], "volumes": found["additionalVolumes"]},
    }
    whole = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "any"},
        "spec": {"minReadySeconds": found["minReadySeconds"], "template": pod},
    }
    return str(yaml.safe_dump(whole, sort_keys=False, width=1000))


def derived_sizes(spill_size: str, memory: str) -> dict[str, object]:
    """Words of the template that follow from the sizes of the spill volume and of the memory: an
    agent spills half of the volume at most, and requests that much of the node's disk."""
    spill_mib = _mib(spill_size) // 2
    return {
        "spill_mib": spill_mib,
        "disk_mib": spill_mib + _LOGS_MIB,
        "memory_request": memory if _mib(memory) < _REQUEST_MIB else f"{_REQUEST_MIB}Mi",
    }


def _mib(quantity: str) -> int:
    """A quantity of Kubernetes in whole MiB."""
    found = _QUANTITY.fullmatch(quantity)
    assert found is not None, "checked before"
    return int(float(found[1]) * _UNITS[found[3] or ""] / (1 << 20))


def _check_kube(flags: Mapping[str, Any]) -> None:
    """Raises: Invalid, for what Kubernetes would refuse only in the pod."""
    for flag in ("spill_size", "memory"):
        if not _QUANTITY.fullmatch(flags[flag]):
            written = f"--{flag.replace('_', '-')}"
            raise Invalid(f"{written} {flags[flag]!r} is not a quantity", "write 512Mi, 8Gi or 1G")
    if not flags["image"] or any(sign.isspace() for sign in flags["image"]):
        raise Invalid(f"--image {flags['image']!r} is not an image", "write NAME:TAG")


def _values(value: object) -> list[str]:
    """None, one, or several."""
    several = list(value) if isinstance(value, tuple) else [value]
    texts = [str(one) for one in several if one not in ("", False)]
    for text in texts:
        if set(text) & set('"\\\n'):
            raise Invalid(f"{text!r} has quotes, backslashes or line ends", "remove them")
    return texts


def _split(text: str, key: str) -> tuple[str, str]:
    """A secret's name and its key."""
    name, _, named = text.partition(":")
    return name, named or key
