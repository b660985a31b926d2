"""A store in a container of Azure or a bucket of Google Cloud Storage, by obstore.

Its blocking calls are used, in one bounded pool: with its coroutines, some processes abort as they
end (D24). Retries are ours, so that they are bounded, cancellable and counted alike in all
stores.
"""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore

from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.ports.clock import Clock
from cleancut.ports.store import ObjectInfo
from cleancut.store.attempts import Attempts, Renewable
from cleancut.store.cloud_errors import EXISTS, code_of, config_error, judge_error, status_of
from cleancut.store.object_paths import check_path, check_prefix, other_bytes
from cleancut.store.urls import CREDENTIALS_VARIABLES, CloudUrl

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureConfig, ClientConfig, GCSConfig

LIST_PART = 1000
CONNECT_TIMEOUT_S = 5
CLOCK_TIMEOUT_S = 10
_PAST_END = "but object was only"
_FOREIGN = (BaseError, OSError)
_ENDPOINTS = {
    "az": "https://{account}.blob.core.windows.net",
    "gs": "https://storage.googleapis.com",
}
_AZURE_NAMES = {
    "AZURE_STORAGE_ACCOUNT_NAME": ("account_name", ""),
    "AZURE_STORAGE_ACCOUNT_KEY": ("account_key", "access_key"),
    "AZURE_STORAGE_SAS_TOKEN": ("sas_key", "sas_token"),
    "AZURE_CLIENT_SECRET": ("client_secret", "client_secret"),
    "AZURE_FEDERATED_TOKEN_FILE": ("federated_token_file", "workload_identity"),
    "AZURE_CLIENT_ID": ("client_id", ""),
    "AZURE_TENANT_ID": ("tenant_id", ""),
    "AZURE_AUTHORITY_HOST": ("authority_host", ""),
}
"""Names in a file of credentials: of obstore's settings, and the kind of credentials they make."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`read_s`: without a byte; `write_s`: of a whole put, whose progress is not seen: 8 MiB
    at 70 kB/s are within it."""

    read_s: float = 30.0
    write_s: float = 120.0


class _Client(NamedTuple):
    """One store, opened twice: a put may take its time, all else fails once no byte comes."""

    reads: AzureStore | GCSStore
    writes: AzureStore | GCSStore


class CloudStore:
    """Keeps each object under `prefix` of a container or bucket.

    Limits: those of `Attempts`; an attempt 5 s to connect, and 30 s without a byte, or 120 s for a
        put. `Retry-After` is not seen. An object is put by one request, at most 5000 MiB on Azure.
    """

    def __init__(
        self,
        url: CloudUrl,
        clock: Clock,
        timeouts: Timeouts = Timeouts(),
    ) -> None:
        self._url = url
        self._client = Renewable(lambda: _open(url, timeouts))
        self._attempts = Attempts(
            self._client, clock, _FOREIGN, lambda error, path: judge_error(error, path, url)
        )
        self._attributes = {"Storage-Class": url.storage_class} if url.storage_class else None

    async def put(self, path: str, data: bytes) -> None:
        check_path(path)
        await self._attempts.run(path, lambda: self._put(path, data))

    async def replace(self, path: str, data: bytes) -> None:
        check_path(path)
        await self._attempts.run(path, lambda: self._write(path, data, "overwrite"))

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        check_path(path)
        if length == 0:
            return (await self.get(path, offset, 1))[:0]
        return await self._attempts.run(path, lambda: self._get(path, offset, length))

    async def stat(self, path: str) -> ObjectInfo | None:
        check_path(path)
        try:
            head = await self._attempts.run(
                path, lambda: obstore.head(self._client.get().reads, path)
            )
        except NotFound:
            return None
        return ObjectInfo(path, head["size"])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        listing = _Listing(self._client, check_prefix(prefix))
        while part := await self._attempts.run(prefix, listing.part):
            for info in part:
                if info.path.startswith(prefix):
                    yield info
                elif info.path > prefix:
                    return

    async def delete(self, path: str) -> None:
        check_path(path)
        with suppress(NotFound):
            await self._attempts.run(path, lambda: obstore.delete(self._client.get().reads, path))

    async def folders(self) -> tuple[str, ...]:
        found = await self._attempts.run(
            "", lambda: obstore.list_with_delimiter(self._client.get().reads)
        )
        return tuple(sorted(found["common_prefixes"]))

    async def clock_s(self) -> float | None:
        """By the Date header of an answer, which may be a refusal: obstore shows no headers."""
        return await self._attempts.run("", lambda: _date_s(self._url))

    async def remove_unfinished(self, age_s: float) -> int:
        return 0  # an object is put in one request

    async def close(self) -> None:
        self._attempts.close()

    def _put(self, path: str, data: bytes) -> None:
        """Asks the server to refuse an overwrite."""
        try:
            self._write(path, data, "create")
        except BaseError as error:
            code = code_of(error)
            if code not in EXISTS and (code or not isinstance(error, AlreadyExistsError)):
                raise
            if self._get(path, 0, None) != data:
                raise other_bytes(path) from error

    def _write(self, path: str, data: bytes, mode: Literal["create", "overwrite"]) -> None:
        obstore.put(
            self._client.get().writes,
            path,
            data,
            attributes=self._attributes,
            mode=mode,
            use_multipart=False,
        )

    def _get(self, path: str, offset: int, length: int | None) -> bytes:
        options: GetOptions = {}
        if length is not None:
            options = {"range": (offset, offset + length)}
        elif offset:
            options = {"range": {"offset": offset}}
        try:
            found = obstore.get(self._client.get().reads, path, options=options)
            return found.bytes().to_bytes()
        except BaseError as error:
            if status_of(error) == 416 or _PAST_END in str(error):
                return b""
            raise


class _Listing:
    """A listing in parts. One that fails is asked for again, from the last object on."""

    def __init__(self, client: Renewable[_Client], prefix: str) -> None:
        self._client = client
        self._folder = prefix.rpartition("/")[0]
        self._last = ""
        self._parts: Iterator[Sequence[ObjectMeta]] | None = None

    def part(self) -> list[ObjectInfo]:
        """The next objects by name; none at the end."""
        if self._parts is None:
            reads = self._client.get().reads
            self._parts = obstore.list(
                reads, self._folder or None, offset=self._last or None, chunk_size=LIST_PART
            )
        try:
            found = next(self._parts, ())
        except BaseException:
            self._parts = None
            raise
        infos = [ObjectInfo(one["path"], one["size"]) for one in found]
        part = [info for info in infos if info.path > self._last]
        self._last = part[-1].path if part else self._last
        return part


def _open(url: CloudUrl, timeouts: Timeouts) -> _Client:
    """Raises: Denied, Invalid."""
    options: ClientConfig = {
        "allow_http": url.endpoint.startswith("http://"),
        "connect_timeout": _seconds(CONNECT_TIMEOUT_S),
        "timeout": _seconds(timeouts.write_s),
    }
    try:
        if url.ca:
            options["root_certificate"] = Path(url.ca).read_bytes()
        reading: ClientConfig = {**options, "read_timeout": _seconds(timeouts.read_s)}
        return _Client(_store(url, reading), _store(url, options))
    except (BaseError, OSError, ValueError) as error:
        raise config_error(error, url) from error


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _store(url: CloudUrl, options: ClientConfig) -> AzureStore | GCSStore:
    if url.scheme == "az":
        azure: dict[str, str] = dict(
            _azure_credentials(url.credentials or os.environ.get(CREDENTIALS_VARIABLES["az"], ""))
        )
        if url.account:
            azure["account_name"] = url.account
        if url.endpoint:
            azure["endpoint"] = url.endpoint
        return AzureStore(
            url.bucket,
            prefix=url.prefix or None,
            config=cast("AzureConfig", azure),
            client_options=options,
            retry_config={"max_retries": 0},
        )
    google = {"base_url": url.endpoint, "application_credentials": url.credentials}
    return GCSStore(
        url.bucket,
        prefix=url.prefix or None,
        config=cast("GCSConfig", {name: value for name, value in google.items() if value}),
        client_options=options,
        retry_config={"max_retries": 0},
    )


def _azure_credentials(file: str) -> Iterator[tuple[str, str]]:
    """Settings of a file of credentials: NAME=VALUE a line, with the names that the environment
    has, before which they go. Raises: OSError, Invalid."""
    if not file:
        return
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, value = line.partition("=")
        setting, kind = _AZURE_NAMES.get(name.strip(), ("", ""))
        if not setting:
            raise Invalid(
                f"{file} holds a line that is not NAME=VALUE of a known name",
                f"the names are {', '.join(sorted(_AZURE_NAMES))}",
            )
        yield setting, value.strip().strip('"')
        if kind:
            yield "credential_type", kind


def _date_s(url: CloudUrl) -> float | None:
    """Seconds since 1970. Raises: OSError."""
    account = url.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    asked = urllib.request.Request(
        url.endpoint or _ENDPOINTS[url.scheme].format(account=account), method="HEAD"
    )
    trusted = ssl.create_default_context(cafile=url.ca or None)
    try:
        with urllib.request.urlopen(asked, timeout=CLOCK_TIMEOUT_S, context=trusted) as answer:
            header = answer.headers.get("Date", "")
    except urllib.error.HTTPError as refusal:
        with refusal:
            header = refusal.headers.get("Date", "")
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None
