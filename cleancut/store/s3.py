"""A store in an S3 bucket, by boto3 with its whole credential chain.

Blocking calls run in one bounded pool, each attempt of them idempotent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import boto3
import botocore.exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError

from cleancut.core.primitives.errors import CleancutError, Denied, NotFound, Refused, Unavailable
from cleancut.core.primitives.numbers import whole_number
from cleancut.ports.clock import Clock
from cleancut.ports.store import ObjectInfo
from cleancut.store.attempts import THREADS, Attempts, Failure, Renewable
from cleancut.store.object_paths import check_path, check_prefix, other_bytes
from cleancut.store.urls import S3Url

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "Forbidden",
        "InvalidSecurity",
        "NotSignedUp",
        "401",
        "403",
    }
)
_ARCHIVED = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
_REPLACED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""What S3 says of credentials that were replaced."""
_NO_BODY = frozenset({"400", "401", "403"})
"""All that a HEAD says, whatever the reason."""
_FULL = frozenset(
    {
        "EntityTooLarge",
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "507",
    }
)
_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "301"})
_BUSY = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
        "ConditionalRequestConflict",
        "408",
        "409",
        "429",
    }
)
_NO_CONDITION = frozenset({"NotImplemented", "501"})
_FOREIGN = (boto.ClientError, boto.BotoCoreError, ResponseParserError)
_OF_A_LISTING = frozenset({"IsTruncated", "KeyCount", "Name"})
"""Each listing says one of them, whether or not there is an object."""
_RANGE = re.compile(r"bytes (\d{1,20})-(\d{1,20})/")


class S3Store:
    """Keeps each object under `prefix` of a bucket.

    Limits: those of `Attempts`; an attempt 5 s to connect and 30 s without a byte.
    """

    def __init__(self, url: S3Url, clock: Clock) -> None:
        self._url = url
        self._boto = Renewable(self._make_client)
        self._attempts = Attempts(self._boto, clock, _FOREIGN, self._judge)
        self._base = f"{url.prefix}/" if url.prefix else ""
        self._conditional = True
        given = {
            "StorageClass": url.storage_class,
            "ServerSideEncryption": url.sse,
            "SSEKMSKeyId": url.kms_key,
            "ChecksumAlgorithm": url.checksum or ("" if url.endpoint else "CRC32"),
        }
        self._put_options = {name: value for name, value in given.items() if value}

    @property
    def _client(self) -> Any:
        return self._boto.get()

    def _make_client(self) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=THREADS,
            retries={"total_max_attempts": 1},
            s3={
                "addressing_style": "path" if self._url.path_style else "auto",
                "payload_signing_enabled": self._url.payload_signing,
            },
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.session.Session(profile_name=self._url.profile or None).client(
            "s3",
            endpoint_url=self._url.endpoint or None,
            region_name=self._url.region or None,
            verify=self._url.ca or None,
            config=config,
        )

    async def put(self, path: str, data: bytes) -> None:
        key = self._base + check_path(path)
        await self._attempts.run(path, lambda: self._put(path, key, data))

    async def replace(self, path: str, data: bytes) -> None:
        key = self._base + check_path(path)
        await self._attempts.run(path, lambda: self._write(path, key, data))

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        key = self._base + check_path(path)
        if length == 0:
            return (await self.get(path, offset, 1))[:0]
        return await self._attempts.run(path, lambda: self._get(key, offset, length))

    async def stat(self, path: str) -> ObjectInfo | None:
        key = self._base + check_path(path)
        try:
            head = await self._attempts.run(
                path, lambda: self._client.head_object(Bucket=self._url.bucket, Key=key)
            )
        except NotFound:
            return None
        if "ContentLength" not in head:
            raise _not_s3(self._url, f"names no size of {path}")
        return ObjectInfo(path, int(head["ContentLength"]))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Order: the server's. SeaweedFS goes by directory, so that `a/b` comes before `a-b`."""
        query = {"Bucket": self._url.bucket, "Prefix": self._base + check_prefix(prefix)}
        before: Mapping[str, int] = {}
        async for page in self._pages(prefix, query):
            found = {entry["Key"]: int(entry["Size"]) for entry in page.get("Contents", ())}
            for key, size_bytes in found.items():
                if key not in before:
                    yield ObjectInfo(key.removeprefix(self._base), size_bytes)
            before = found

    async def delete(self, path: str) -> None:
        key = self._base + check_path(path)
        await self._attempts.run(
            path, lambda: self._client.delete_object(Bucket=self._url.bucket, Key=key)
        )

    async def folders(self) -> tuple[str, ...]:
        query = {"Bucket": self._url.bucket, "Prefix": self._base, "Delimiter": "/"}
        found: set[str] = set()
        async for page in self._pages("", query):
            found |= {one["Prefix"] for one in page.get("CommonPrefixes", ())}
        return tuple(sorted(one.removeprefix(self._base).rstrip("/") for one in found))

    async def _pages(self, prefix: str, query: dict[str, str]) -> AsyncIterator[Mapping[str, Any]]:
        """Of a listing. Raises also: Refused, for one without an end: a page that says what the one
        before it said, or that there are more and not where."""
        before: object = None
        while True:
            page = await self._attempts.run(prefix, partial(self._list_part, query.copy()))
            yield page
            if not page.get("IsTruncated"):
                return
            said = page.get("Contents"), page.get("CommonPrefixes")
            token = page.get("NextContinuationToken")
            if not token or token == query.get("ContinuationToken") or said == before:
                raise Refused(
                    f"{_place(self._url)} lists {prefix or 'its objects'} without an end",
                    "does a proxy stand in front of it? its answers are not those of S3",
                )
            query["ContinuationToken"], before = token, said

    async def clock_s(self) -> float | None:
        """By the Date header of an answer."""
        query = {"Bucket": self._url.bucket, "Prefix": self._base, "MaxKeys": 1}
        page = await self._attempts.run("", partial(self._list_part, query))
        return _date_s(page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))

    async def remove_unfinished(self, age_s: float) -> int:
        return 0  # an object is put in one request

    async def close(self) -> None:
        self._attempts.close()
        if self._boto.made is not None:
            self._boto.made.close()

    def _judge(self, error: Exception, path: str) -> Failure:
        asked_s = _retry_after_s(error)
        return Failure(_to_error(error, path, self._url), _may_be_replaced(error), asked_s)

    def _list_part(self, query: dict[str, Any]) -> Any:
        """Raises also: Unavailable, for a page that is none: it would pass for an empty store."""
        page = self._client.list_objects_v2(**query)
        if not page.keys() & _OF_A_LISTING:
            raise _not_s3(self._url, "answers a listing with something else")
        return page

    def _put(self, path: str, key: str, data: bytes) -> None:
        """Asks the server to refuse an overwrite; one that cannot is trusted with our paths."""
        condition = {"IfNoneMatch": "*"} if self._conditional else {}
        try:
            self._write(path, key, data, **condition)
        except boto.ClientError as error:
            code = _code_of(error)
            if code in _NO_CONDITION and condition:
                self._conditional = False
                self._put(path, key, data)
            elif code not in {"PreconditionFailed", "412"}:
                raise
            elif self._get(key) != data:
                raise other_bytes(path) from error

    def _write(self, path: str, key: str, data: bytes, **condition: str) -> None:
        done = self._client.put_object(
            Bucket=self._url.bucket, Key=key, Body=data, **condition, **self._put_options
        )
        if "ETag" not in done:
            raise _not_s3(self._url, f"takes {path} without an ETag")

    def _get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        end = None if length is None else offset + length
        span = (
            {"Range": f"bytes={offset}-{'' if end is None else end - 1}"} if offset or end else {}
        )
        try:
            found = self._client.get_object(Bucket=self._url.bucket, Key=key, **span)
        except boto.ClientError as error:
            if _code_of(error) in {"InvalidRange", "416"}:
                return b""
            raise
        with found["Body"] as body:
            data = bytes(body.read())
        sent = _RANGE.match(found.get("ContentRange", ""))
        if sent is None:  # all of it, also where a part was asked for
            return data[offset:end]
        size_bytes = int(sent[2]) + 1 - int(sent[1])
        if len(data) != size_bytes:  # the length alone is not always sent
            raise boto.IncompleteReadError(actual_bytes=len(data), expected_bytes=size_bytes)
        return data


def _date_s(header: str) -> float | None:
    """Seconds since 1970 of an HTTP date; None for anything else."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None


def _code_of(error: boto.ClientError) -> str:
    """S3's own name of the error; for HEAD, which has no body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _may_be_replaced(error: Exception) -> bool:
    return isinstance(error, boto.ClientError) and _code_of(error) in _REPLACED | _NO_BODY


def _retry_after_s(error: Exception) -> float:
    """How long the server asks to be left alone; 0 if it does not say, or gives a date."""
    if not isinstance(error, boto.ClientError):
        return 0.0
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    asked = headers.get("retry-after", "")
    return float(whole_number(asked) or 0)


def _to_error(error: Exception, path: str, url: S3Url) -> CleancutError:
    """What `error` means to an operator; retryable where a later attempt may succeed."""
    where = _place(url)
    if isinstance(error, ResponseParserError):
        return _not_s3(url, "answers with something else")
    if isinstance(error, boto.ClientError):
        return _response_error(error, path, where)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return Denied(
            f"no credentials for {where}",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role",
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.UnauthorizedSSOTokenError):
        return Denied(f"credentials for {where} cannot be had: {error}", "sign in again")
    if isinstance(error, boto.SSLError):
        return Refused(f"TLS to {where} fails: {error}", "set AWS_CA_BUNDLE to its CA's file")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return Unavailable(f"{where} does not answer: {error}", "is the endpoint right and up?")
    return Refused(f"{where} cannot be used: {error}", "check region, endpoint and profile")


def _place(url: S3Url) -> str:
    """The bucket, for messages."""
    return f"bucket {url.bucket}" + (f" at {url.endpoint}" if url.endpoint else "")


def _not_s3(url: S3Url, what: str) -> Unavailable:
    """The error for an answer that S3 never gives."""
    return Unavailable(
        f"{_place(url)} {what}, unlike S3",
        "is the endpoint that of an S3 server, and no proxy or sign-in page in front of it?",
    )


def _response_error(error: boto.ClientError, path: str, where: str) -> CleancutError:
    code = _code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in {"NoSuchKey", "404", "NotFound"}:
        return NotFound(f"the store has no {path}", path=path)
    if code == "NoSuchBucket":
        return Refused(f"{where} does not exist", "create it, or correct the store URL")
    if code in _ARCHIVED:
        return Refused(
            f"{path} in {where} is in an archive storage class and cannot be read: {code}",
            "restore the objects under this prefix from the archive first (`aws s3api"
            " restore-object`), wait until that is done, then repeat; for later backups, exclude"
            " the prefix from life-cycle rules that archive",
            path=path,
        )
    if code in _REPLACED:
        return Denied(
            f"{where} refuses our credentials for {path}: {code}",
            "they have expired, were replaced or are wrong: renew them where this process reads"
            " them",
        )
    if code in _DENIED:
        return Denied(
            f"{where} refuses our credentials for {path}: {code}",
            "they need Get, Put, Delete on its objects, and ListBucket",
        )
    if code in _FULL or status == 507:
        return Refused(f"no space left in {where}: {code}", "free some, or raise its quota")
    if code in _REGION:
        return Refused(f"{where} is in another region: {code}", "add &region=.. to the store URL")
    if code == "RequestTimeTooSkewed":
        return Refused(f"{where} says that this host's clock is wrong", "correct its time")
    if code in _BUSY or status >= 500:
        return Unavailable(f"{where} fails at {path}: {code or status}", "it may come back")
    return Refused(f"{where} refuses {path}: {error}", "check the store URL")
