"""Opens a store by its URL, and what all stores have in common: the check of paths.

The adapters are `store_file` and `store_s3`; the shipped fake is `memory_store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from cleancut.errors import Denied, Invalid, Refused
from cleancut.ids import ClusterName
from cleancut.io.key_source import NO_KEYS, KeySource
from cleancut.io.ports import Clock, Store
from cleancut.keys import Paths
from cleancut.store_key import ENCRYPTED_MAGIC, KEY_WANTED

MAX_PATH_BYTES = 900
_HINT = "use file:///path or s3://bucket/prefix?endpoint=https://host&region=name&path_style=1"
_SSE = ("", "AES256", "aws:kms", "aws:kms:dsse")
_CHECKSUMS = ("", "CRC32", "SHA1", "SHA256")


@dataclass(frozen=True, slots=True)
class FileUrl:
    root: Path


@dataclass(frozen=True, slots=True)
class S3Url:
    """`endpoint`, `region`, `profile` and `ca` (a file) are empty where the credential chain's own
    settings decide; the rest, where the bucket's do. `checksum`: that the server shall check."""

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    profile: str = ""
    ca: str = ""
    storage_class: str = ""
    sse: str = ""
    kms_key: str = ""
    checksum: str = ""


_S3_OPTIONS = frozenset(S3Url.__dataclass_fields__) - {"bucket", "prefix"}


def parse_store_url(url: str) -> FileUrl | S3Url:
    """Where a store is. Raises: Invalid, with the forms that can be used."""
    try:
        parts = urlsplit(url)
        foreign = parts.username is not None or parts.fragment or parts.port
    except ValueError as error:
        raise Invalid(f"store URL cannot be read: {error}", _HINT) from error
    if foreign:
        raise Invalid(
            "store URL holds a user, port or fragment",
            "credentials come from the environment, ~/.aws or the machine's role; " + _HINT,
        )
    if parts.scheme == "file":
        path = unquote(parts.path)
        if parts.netloc or parts.query or not path.startswith("/") or "\0" in path:
            raise Invalid(f"store URL {url!r} is no absolute path", _HINT)
        return FileUrl(Path(path))
    if parts.scheme == "s3":
        return _parse_s3(url, parts.netloc, unquote(parts.path).strip("/"), parts.query)
    raise Invalid(f"store URL {url!r} is of no known kind", _HINT)


def _parse_s3(url: str, bucket: str, prefix: str, query: str) -> S3Url:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - _S3_OPTIONS)
    endpoint = options.get("endpoint", "")
    if not bucket or unknown:
        raise Invalid(f"store URL {url!r} has no bucket, or options {unknown}", _HINT)
    if endpoint and urlsplit(endpoint).scheme not in {"http", "https"}:
        raise Invalid(f"endpoint {endpoint!r} is no http(s) URL", _HINT)
    if options.get("path_style", "1") not in {"0", "1"}:
        raise Invalid("path_style is 0 or 1", _HINT)
    if any(part in {"", ".", ".."} for part in (prefix or "x").split("/")):
        raise Invalid(f"prefix {prefix!r} is no clean path", _HINT)
    sse, checksum = options.get("sse", ""), options.get("checksum", "")
    if sse not in _SSE or (options.get("kms_key") and "kms" not in sse):
        raise Invalid(f"sse={sse} is not known", "use sse=AES256, or sse=aws:kms&kms_key=ID")
    if checksum not in _CHECKSUMS:
        raise Invalid(f"checksum={checksum} is not known", f"use one of {_CHECKSUMS[1:]}")
    path_style = options.pop("path_style", "0") == "1"
    return S3Url(bucket, prefix, path_style=path_style, **options)


def open_store(url: str, clock: Clock, keys: KeySource = NO_KEYS) -> Store:
    """The store at `url`, encrypted if there are `keys`; nothing is read or written yet.

    Raises: Invalid (see above); and what reading the keys does.
    """
    store = _open(parse_store_url(url), clock)
    if not keys.read():
        return PlainStore(store)
    from cleancut.io.data_keys import load_data_keys  # here, since it loads cryptography
    from cleancut.io.encrypted import EncryptedStore

    async def load(cluster: ClusterName) -> Mapping[int, bytes]:
        """The keys are read again, so that another one can take over while the process runs."""
        now = await asyncio.to_thread(keys.read)
        return await load_data_keys(store, Paths(cluster), now)

    return EncryptedStore(store, load, clock)


class PlainStore:
    """Passes everything on, and tells who meets an encrypted object that a key is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.put, self.stat, self.delete = store.put, store.stat, store.delete
        self.list, self.close = store.list, store.close

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = await self._store.get(path, offset, length)
        if not offset and data.startswith(ENCRYPTED_MAGIC):
            raise Denied(f"{path} is encrypted", KEY_WANTED)
        return data


def _open(where: FileUrl | S3Url, clock: Clock) -> Store:
    if isinstance(where, FileUrl):
        from cleancut.io.store_file import FileStore

        return FileStore(where.root)
    from cleancut.io.store_s3 import S3Store  # here, since boto3 takes 0.3 s to load

    return S3Store(where, clock)


def check_path(path: str) -> str:
    """`path` if it is relative and clean. Raises: Invalid."""
    segments = path.split("/")
    if not path or any(s in {"", ".", ".."} or s.startswith(".tmp-") for s in segments):
        raise Invalid(f"{path[:200]!r} is no path of an object")
    if len(path.encode()) > MAX_PATH_BYTES or not path.isprintable() or "\\" in path:
        raise Invalid(f"{path[:200]!r} is no path of an object", "too long, or odd characters")
    return path


def check_prefix(prefix: str) -> str:
    """`prefix` if objects may start with it; the empty one names all. Raises: Invalid."""
    if prefix:
        check_path(prefix.removesuffix("/"))
    return prefix


def other_bytes(path: str) -> Refused:
    """The error for a put to a path that holds something else."""
    return Refused(
        f"{path} already holds other bytes, and objects are written once",
        "do two clusters use this store under one name? give each its own prefix",
        path=path,
    )
