"""Names and numbers that identify things, checked where they enter.

A value of one of these types has been checked; code past the border never checks again.
"""

from __future__ import annotations

import re
from typing import NewType, TypeGuard
from urllib.parse import quote, unquote

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.numbers import whole_number

Epoch = NewType("Epoch", int)
"""One attempt of an operation; grows over the life of a cluster, across etcd's too."""
OperationId = NewType("OperationId", str)
"""One request of a user; the same over all attempts."""
AgentName = NewType("AgentName", str)
ClusterName = NewType("ClusterName", str)
FencingToken = NewType("FencingToken", int)
"""The create_revision of a leased key: grows, so an older holder is recognised for ever."""
PeerId = NewType("PeerId", int)
WITHOUT_CLUSTER = PeerId(0)
"""A single Qdrant without cluster mode, which has no id."""
ShardId = NewType("ShardId", int)
Digest = NewType("Digest", str)
"""Lower-case hex of blake3-256 (blocks, pages, recipes)."""
Sha256 = NewType("Sha256", str)
"""Lower-case hex of sha256 (documents named by a commit, whole tars)."""

EPOCH_DIGITS = 12
MAX_STREAMED_NAME_BYTES = 207
"""Of a collection's name together with the digits of its greatest shard id: a file name of 255
bytes, less `-shard-`, `-`, a time of 19, `.snapshot` and `-temp-` with 6 characters."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def numbered(operation: OperationId) -> tuple[str, int]:
    """A sort key: the operations that were recorded with another end in a number, 2 before 10."""
    stem, _, digits = operation.rpartition("-")
    number = whole_number(digits)
    return (stem, number) if stem.count("-") and number is not None else (operation, 0)


def parse_name(text: str, what: str) -> str:
    """`text` if it may stand in keys and paths as a cluster's or an agent's name.

    Raises: Invalid, unless it is 1-63 of [a-z0-9.-], starting and ending with a letter or digit.
    """
    if not _NAME.fullmatch(text) or ".." in text:
        raise Invalid(
            f"{what} {text!r} is not a valid name",
            "use 1-63 lower-case letters, digits, dots and dashes",
        )
    return text


def parse_cluster(text: str) -> ClusterName:
    """Raises: Invalid (see `parse_name`)."""
    return ClusterName(parse_name(text, "cluster"))


def is_cluster(text: str) -> TypeGuard[ClusterName]:
    """Whether `text` can be a cluster's name."""
    return bool(_NAME.fullmatch(text)) and ".." not in text


def parse_agent(text: str) -> AgentName:
    """Raises: Invalid (see `parse_name`)."""
    return AgentName(parse_name(text, "agent"))


def parse_digest(text: str) -> str:
    """Raises: Invalid, unless `text` is 64 lower-case hex digits."""
    if not _DIGEST.fullmatch(text):
        raise Invalid(f"{text[:80]!r} is not a digest")
    return text


def check_collection_name(name: str) -> str:
    """`name` if it can be created and streamed by Qdrant without harm.

    Raises: Invalid for names that stop Qdrant's consensus (`.`, `..`), that it refuses, or that its
        shard stream cannot carry (see `check_streamable`).
    Source: measured on Qdrant 1.18.3; lib/storage/src/content_manager/collection_meta_ops.rs
    """
    if not name:
        raise Invalid("a collection's name is empty", "name a collection")
    if name in {".", ".."}:
        raise Invalid(f"collection name {name!r} would stop Qdrant's consensus", "choose another")
    if any(c in '<>:"/\\|?*' for c in name):
        raise Invalid(f"collection name {name!r} has characters that Qdrant refuses")
    return check_streamable(name)


def check_streamable(name: str, last_shard: int = 0) -> str:
    """`name` if Qdrant can stream all shards of such a collection.

    Raises: Invalid, if the name of the stream's temporary file gets too long, or the name cannot
        stand in a header (control characters but for the tab).
    Unit: bytes of UTF-8. Source: measured on Qdrant 1.18.3
        (`<name>-shard-<id>-<time>.snapshot-temp-<6>`)
    """
    size, limit = len(name.encode()), MAX_STREAMED_NAME_BYTES - len(str(last_shard))
    if size > limit:
        raise Invalid(
            f"collection name {name[:20]!r}... of {size} bytes is too long to be streamed",
            f"Qdrant streams shard {last_shard} of names of up to {limit} bytes",
        )
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in name):
        raise Invalid(
            f"collection name {name!r} has control characters, which Qdrant cannot stream",
            "copy the points to a collection of another name",
        )
    return name


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a release, without what follows a dash: they compare as releases do."""
    numbers = text.split("-")[0].split(".")
    found = (whole_number(number) for number in numbers)
    return tuple(number for number in found if number is not None)


def format_epoch(epoch: int) -> str:
    """The epoch as it stands in paths and keys, so that they sort as numbers do."""
    return f"{epoch:0{EPOCH_DIGITS}d}"


def encode_segment(name: str) -> str:
    """`name` as one segment of a path or key: percent-encoded, never empty, never dots only."""
    encoded = quote(name, safe="-_~")
    return encoded.replace(".", "%2E")


def decode_segment(segment: str) -> str:
    """The name that `encode_segment` was given."""
    return unquote(segment)
