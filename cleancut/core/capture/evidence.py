"""Evidence: the states of a shard's files when its last backup was captured, which a later capture
compares with the states they have then.

It means something only on the machine and in the run it was recorded in, and losing it costs a read
of the local disk, so whatever is odd about a record makes it count as absent.
Shape: msgpack, a version first. Source: D19
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from cleancut.core.capture.proof import FileState
from cleancut.core.capture.request import is_inside
from cleancut.core.primitives.ids import Digest

MAX_EVIDENCE_BYTES = 32 << 20
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What has to be the same for a recorded state to prove anything now.

    After a power cut the disk may hold newer bytes under an older mtime (`boot_id`); another volume
    may be mounted (`device`, `mount_id`), and a volume may be rolled back while Qdrant is down
    (`startup`: when Qdrant says that it was started). `now_ns` only has to be later.
    """

    boot_id: str
    device: int
    mount_id: int
    startup: str
    now_ns: int

    @property
    def known(self) -> bool:
        return bool(self.boot_id and self.startup and self.mount_id >= 0)


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """`recipe`: the capture that holds the bytes of `files`, which are paths
    `<segment>/<relative>`."""

    version: int
    collection: str
    shard_id: int
    recipe: Digest
    boot_id: str
    device: int
    mount_id: int
    startup: str
    recorded_ns: int
    files: dict[str, FileState]


def evidence_of(
    shard: tuple[str, int],
    recipe: Digest,
    circumstances: Circumstances,
    files: Mapping[str, FileState],
) -> Evidence:
    """Order: `circumstances` are those of the request; `files` are proven."""
    collection, shard_id = shard
    return Evidence(
        _VERSION,
        collection,
        shard_id,
        recipe,
        circumstances.boot_id,
        circumstances.device,
        circumstances.mount_id,
        circumstances.startup,
        circumstances.now_ns,
        dict(files),
    )


def recorded(
    evidence: Evidence | None, recipe: Digest | None, circumstances: Circumstances
) -> Mapping[str, FileState]:
    """The states that prove that a file is as in `recipe`; empty where they prove nothing."""
    if evidence is None or recipe is None or not circumstances.known:
        return {}
    then = (evidence.boot_id, evidence.device, evidence.mount_id, evidence.startup)
    now = (
        circumstances.boot_id,
        circumstances.device,
        circumstances.mount_id,
        circumstances.startup,
    )
    same = then == now and evidence.recipe == recipe
    return evidence.files if same and evidence.recorded_ns <= circumstances.now_ns else {}


def encode_evidence(evidence: Evidence) -> bytes:
    return msgspec.msgpack.encode(evidence)


def decode_evidence(data: bytes) -> Evidence | None:
    """None: it is not a record of this version, or something in it cannot be."""
    if len(data) > MAX_EVIDENCE_BYTES:
        return None
    try:
        found = msgspec.msgpack.decode(data, type=Evidence)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if found.version != _VERSION:
        return None
    sound = all(is_inside(path) and min(state_numbers(s)) >= 0 for path, s in found.files.items())
    return found if sound else None


def state_numbers(state: FileState) -> tuple[int, ...]:
    """Its fields in order."""
    return msgspec.structs.astuple(state)
