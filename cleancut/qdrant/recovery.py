"""Recovery of one shard at one peer, from a URL or by upload, and whether the peer allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Unavailable,
)
from cleancut.qdrant.http import QdrantHttp

PROBE_S = 10.0
_PROBED = "cleancut-probe-of-a-collection-that-does-not-exist"
_NO_URL = {"location": "http://127.0.0.1:1/cleancut-probe", "priority": "no_sync"}


class ShardRecovery:
    """The part of `Qdrant` that puts tars in place. Raises: as `Qdrant`."""

    _http: QdrantHttp

    async def recover_shard(
        self, name: str, shard_id: int, *, location: str, sha256: str, timeout_s: float
    ) -> None:
        """This peer's replica holds the tar at `location` and is Active; others are untouched.
        `sha256` "": it is not known. Its length is, and its sender breaks off at a wrong block.

        Raises: Corrupt (checksum, no whole tar; the old data is still there), Unavailable (the
            tar could not be fetched, or could not be loaded), TimedOut (it may still be running:
            never repeat blindly), NotFound (no such shard). `needs_upload` says whether an upload
            can help.
        Source: src/common/snapshots.rs, Qdrant 1.18.3
        """
        path = f"{collection_path(name)}/shards/{shard_id}/snapshots/recover"
        body = {"location": location, "priority": "no_sync", **_checksum(sha256)}
        try:
            await self._http.call("PUT", path, body, timeout_s=timeout_s, query={"wait": "true"})
        except (Invalid, Unavailable, Denied) as refusal:
            raise _recover_error(refusal) from refusal

    async def upload_shard(
        self,
        name: str,
        shard_id: int,
        *,
        chunks: AsyncIterator[bytes],
        size_bytes: int,
        sha256: str,
        timeout_s: float,
    ) -> None:
        """As `recover_shard`, with the tar in the request. Qdrant keeps it in its snapshots
        directory until it is in place."""
        path = f"{collection_path(name)}/shards/{shard_id}/snapshots/upload"
        query = {"wait": "true", "priority": "no_sync", **_checksum(sha256)}
        try:
            await self._http.upload(path, chunks, size_bytes, timeout_s=timeout_s, query=query)
        except (Invalid, Unavailable) as refusal:
            raise _recover_error(refusal) from refusal

    async def allows_urls(self, timeout_s: float = PROBE_S) -> bool:
        """Whether this peer recovers from URLs (service.enable_snapshot_url_recovery). It is asked
        for a collection that cannot exist, which it looks for only if it does.

        Source: src/actix/api/snapshot_api.rs, measured on Qdrant 1.18.3
        """
        path = f"{collection_path(_PROBED)}/shards/0/snapshots/recover"
        try:
            await self._http.call("PUT", path, _NO_URL, timeout_s=timeout_s, query={"wait": "true"})
        except NotFound:
            return True
        except Denied as refusal:
            if _forbids_urls(refusal):
                return False
            raise
        return True

    async def check_upload_rights(self, timeout_s: float = PROBE_S) -> None:
        """Raises: Denied, if the API key may not put snapshots in place."""
        path = f"{collection_path(_PROBED)}/shards/0/snapshots/upload"
        query = {"wait": "true", "priority": "no_sync"}
        try:
            await self._http.upload(path, _nothing(), 0, timeout_s=timeout_s, query=query)
        except NotFound:
            return


def _checksum(sha256: str) -> dict[str, str]:
    return {"checksum": sha256} if sha256 else {}


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in list[bytes]():
        yield chunk


def needs_upload(error: CleancutError) -> bool:
    """Whether the peer forbids URLs, or could not fetch the tar from its URL."""
    return "fetch" in error.context


def unreached(error: CleancutError) -> CleancutError:
    """`error` of a peer that never asked for the tar at its URL: an upload can help."""
    hint = "see the proxy settings in the environment of this Qdrant: they divert loopback too"
    return Unavailable(error.message, hint, **error.context, fetch="failed")


def _forbids_urls(refusal: CleancutError) -> bool:
    words = refusal.message.lower()
    return "recovery from remote urls" in words


def _recover_error(refusal: CleancutError) -> CleancutError:
    words = refusal.message.lower()
    context = refusal.context
    if any(text in words for text in ("checksum", "invalid snapshot", "unpack")):
        hint = "the tar that Qdrant got is not the one that was captured; verify the backup"
        return Corrupt(refusal.message, hint, **context)
    if isinstance(refusal, Denied):
        if not _forbids_urls(refusal):
            return refusal
        hint = "set service.enable_snapshot_url_recovery of Qdrant to true"
        return Denied(refusal.message, hint, **context, fetch="forbidden")
    if any(text in words for text in ("download", "http request")):
        hint = "see the agent that serves the tar"
        return Unavailable(refusal.message, hint, **context, fetch="failed")
    return refusal


def collection_path(name: str) -> str:
    if name in {"", ".", ".."}:
        raise Invalid(f"invalid collection name {name!r}", "choose another")
    return f"/collections/{encode(name)}"


def encode(text: str) -> str:
    return quote(text, safe="")
