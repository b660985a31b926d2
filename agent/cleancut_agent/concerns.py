"""Concerns of an agent: capabilities that a later restore needs, and the health of the local peer,
tried before they are needed."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, Refused, TimedOut
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Concern
from cleancut.qdrant.responses import ClusterInfo, Telemetry
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import free_bytes, storage_free_bytes
from cleancut_agent.prompt_store import prompt_store

EVERY_S = 60.0
LOW_BYTES = 2 << 30
_ASK_S = 5.0
_SHOWN = 20
_PROBE = b"cleancut"


async def find_concerns(context: AgentContext, cluster: ClusterInfo) -> tuple[Concern, ...]:
    """What is wrong with the local peer, which answers. Texts stay equal while the facts do."""
    found = list(_consensus(cluster))
    found += [one for one in (await _restores(context), await _store(context)) if one]
    try:
        found += _shards(await context.qdrant.telemetry(timeout_s=_ASK_S))
    except CleancutError as error:
        if isinstance(error, Denied):
            found.append(Concern(kind="no_read_rights", what=str(error)))
    return (*found, *_disks(context))


def _consensus(cluster: ClusterInfo) -> Iterator[Concern]:
    if cluster.consensus:
        yield Concern(
            kind="consensus_stopped",
            what=f"the consensus thread of its Qdrant has {cluster.consensus}: no collection can be"
            " created, restored or moved",
        )


async def _restores(context: AgentContext) -> Concern | None:
    """Whether this Qdrant takes a restore, by URL or by upload."""
    try:
        allowed = await context.qdrant.allows_urls(_ASK_S)
        await context.qdrant.check_upload_rights(_ASK_S)
    except Denied as error:
        return Concern(kind="no_restore_rights", what=f"its Qdrant takes no restore: {error}")
    except CleancutError:
        return None  # it does not answer, which the session says
    if allowed:
        return None
    return Concern(
        kind="restore_by_upload",
        what="its Qdrant fetches no snapshots from URLs (service.enable_snapshot_url_recovery is"
        " false): restores go by upload, which needs room for each tar in its snapshots directory",
    )


async def _store(context: AgentContext) -> Concern | None:
    """Whether an object can be written and read back, as in PREPARE."""
    path = context.paths.probe(Epoch(0), f"{context.name}.health")
    try:
        async with prompt_store("write and read an object", min(_ASK_S, context.store_bound_s)):
            await context.store.put(path, _PROBE)
            if await context.store.get(path) != _PROBE:
                raise Refused(f"{path} is not what was written", "see which store --store names")
    except (Denied, Refused, TimedOut, Corrupt) as error:
        return Concern(kind="store_refused", what=f"it cannot use the store: {error}")
    except CleancutError:
        return None
    return None


def _shards(telemetry: Telemetry) -> Iterator[Concern]:
    """Shards that are not loaded or have failed, and those whose optimizations wait."""
    if telemetry.recovery_mode:
        yield Concern(
            kind="recovery_mode",
            what="its Qdrant runs in recovery mode: its shards can be neither read nor backed up",
        )
    by_status: dict[str, list[str]] = {}
    for name, entry in sorted(telemetry.collections.items()):
        for shard in sorted(entry.shards.values(), key=lambda one: one.shard_id):
            text = f"shard {shard.shard_id} of {name!r}"
            status = "unloaded" if shard.is_dummy else (shard.status or "").lower()
            by_status.setdefault(status, []).append(text)
    words = {
        "red": "has failed operations, or its optimizer failed: it is never proven",
        "grey": "has optimizations that wait for an update",
    }
    if not telemetry.recovery_mode:
        words["unloaded"] = "could not be loaded: it can be neither read nor backed up"
    for status, meaning in words.items():
        if shards := by_status.get(status):
            more = len(shards) - _SHOWN
            shown = ", ".join(shards[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield Concern(kind=f"{status}_shard", what=f"{status} {shown}: {meaning}")


def _disks(context: AgentContext) -> Iterator[Concern]:
    try:
        free = {"Qdrant's storage": storage_free_bytes(context), "the spill": free_bytes(context)}
    except OSError:
        return
    for disk, left in free.items():
        if 0 <= left < LOW_BYTES:
            yield Concern(kind="disk_low", what=f"less than 2 GiB are free on the disk of {disk}")
