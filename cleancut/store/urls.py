"""URLs of stores: file://, s3://, az:// and gs://, parsed and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.spelling import suggestion

_HINT = (
    "use file:///path, s3://bucket/prefix?endpoint=https://host&region=name&path_style=1,"
    " az://container/prefix?account=name or gs://bucket/prefix"
)
_SSE = ("", "AES256", "aws:kms", "aws:kms:dsse")
_SWITCHES = ("path_style", "payload_signing")
_CHECKSUMS = ("", "CRC32", "SHA1", "SHA256")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CLASSES = {
    "az": ("Hot", "Cool", "Cold"),
    "gs": ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
}
"""Those whose objects are read at once."""


@dataclass(frozen=True, slots=True)
class FileUrl:
    root: Path


@dataclass(frozen=True, slots=True)
class S3Url:
    """`endpoint`, `region`, `profile` and `ca` (a file) are empty where the credential chain's own
    settings decide; the rest, where the bucket's do. `checksum`: that the server shall
    check; `payload_signing`: that it shall check the sha256 of each request."""

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
    payload_signing: bool = False


@dataclass(frozen=True, slots=True)
class CloudUrl:
    """A container of Azure Blob Storage (`az`) or a bucket of Google Cloud Storage (`gs`).

    `account` (Azure only), `endpoint` and `credentials` (a file) are empty where the environment
    decides, `storage_class` where the bucket does. `ca`: a file of certificates to trust besides.
    """

    scheme: Literal["az", "gs"]
    bucket: str
    prefix: str
    account: str = ""
    endpoint: str = ""
    credentials: str = ""
    ca: str = ""
    storage_class: str = ""


StoreUrl = FileUrl | S3Url | CloudUrl
_S3_OPTIONS = frozenset(S3Url.__dataclass_fields__) - {"bucket", "prefix"}
_GS_OPTIONS = frozenset(CloudUrl.__dataclass_fields__) - {"scheme", "bucket", "prefix", "account"}


class _Parts(NamedTuple):
    """Of a URL of a bucket. `shown`: the URL without its options, which may hold a secret."""

    shown: str
    bucket: str
    prefix: str
    query: str


def parse_store_url(url: str) -> StoreUrl:
    """Where a store is. Raises: Invalid, with the forms that can be used."""
    try:
        parts = urlsplit(url)
        foreign = parts.username is not None or parts.fragment or parts.port
    except ValueError as error:
        raise Invalid(f"store URL cannot be read: {error}", _HINT) from error
    if foreign:
        raise Invalid(
            "store URL holds a user, port or fragment",
            "credentials come from the environment, files or the machine's role; " + _HINT,
        )
    if parts.scheme == "file":
        path = unquote(parts.path)
        if parts.netloc or parts.query or not path.startswith("/") or "\0" in path:
            raise Invalid(f"store URL {url!r} is not an absolute path", _HINT)
        return FileUrl(Path(path))
    parse = _BUCKETS.get(parts.scheme)
    shown = url.partition("?")[0]
    if parse is None:
        likely = suggestion(parts.scheme, SCHEMES) if parts.scheme else ""
        raise Invalid(f"store URL {shown!r} is of none of the schemes {_LISTED}{likely}", _HINT)
    prefix = unquote(parts.path).strip("/")
    if not parts.netloc:
        raise Invalid(f"store URL {shown!r} names no bucket", _HINT)
    if any(part in {"", ".", ".."} for part in (prefix or "x").split("/")):
        raise Invalid(f"prefix {prefix!r} is not a normalized path", _HINT)
    return parse(_Parts(shown, parts.netloc, prefix, parts.query))


def _parse_s3(parts: _Parts) -> S3Url:
    options = _options(parts, _S3_OPTIONS)
    for name in _SWITCHES:
        if options.get(name, "1") not in {"0", "1"}:
            raise Invalid(f"{name} is 0 or 1", _HINT)
    sse, checksum = options.get("sse", ""), options.get("checksum", "")
    if sse not in _SSE or (options.get("kms_key") and "kms" not in sse):
        raise Invalid(f"sse={sse} is not known", "use sse=AES256, or sse=aws:kms&kms_key=ID")
    if checksum not in _CHECKSUMS:
        raise Invalid(f"checksum={checksum} is not known", f"use one of {_CHECKSUMS[1:]}")
    switches = {name: options.pop(name, "0") == "1" for name in _SWITCHES}
    return S3Url(parts.bucket, parts.prefix, **switches, **options)  # type: ignore[arg-type]


def _parse_az(parts: _Parts) -> CloudUrl:
    options = _options(parts, _GS_OPTIONS | {"account"})
    return _cloud("az", parts, options)


def _parse_gs(parts: _Parts) -> CloudUrl:
    return _cloud("gs", parts, _options(parts, _GS_OPTIONS))


def _cloud(scheme: Literal["az", "gs"], parts: _Parts, options: Mapping[str, str]) -> CloudUrl:
    endpoint, kind = options.get("endpoint", ""), options.get("storage_class", "")
    split = urlsplit(endpoint)
    if split.scheme == "http" and split.hostname not in _LOOPBACK:
        raise Invalid(
            f"endpoint {endpoint!r} would get credentials in the clear",
            "use https://; http:// is for a server on this machine",
        )
    if kind and kind not in _CLASSES[scheme]:
        raise Invalid(
            f"storage_class={kind} is not one whose objects are read at once",
            f"use one of {', '.join(_CLASSES[scheme])}, or leave it to the bucket",
        )
    return CloudUrl(scheme, parts.bucket, parts.prefix, **options)


def _options(parts: _Parts, known: frozenset[str]) -> dict[str, str]:
    """The options of a URL. Raises: Invalid, for one that is not known; its value is not shown."""
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - known)
    if unknown:
        likely = suggestion(unknown[0], known)
        raise Invalid(
            f"store URL {parts.shown!r} has an unknown option `{unknown[0]}`{likely}",
            f"use only the options {', '.join(sorted(known))}; secrets never belong in a URL",
        )
    endpoint = options.get("endpoint", "")
    split = urlsplit(endpoint)
    if endpoint and (split.scheme not in {"http", "https"} or not split.hostname):
        raise Invalid(f"endpoint {endpoint!r} is not an http(s) URL", _HINT)
    if split.username is not None or split.query or split.fragment:
        raise Invalid("endpoint holds a user, query or fragment", "use scheme, host and path only")
    return options


_BUCKETS: Mapping[str, Callable[[_Parts], StoreUrl]] = {
    "s3": _parse_s3,
    "az": _parse_az,
    "gs": _parse_gs,
}
SCHEMES = ("file", *_BUCKETS)
"""Of all stores that there are."""
CREDENTIALS_VARIABLES = {
    "s3": "AWS_SHARED_CREDENTIALS_FILE",
    "az": "CLEANCUT_AZURE_CREDENTIALS",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
"""By scheme: what names a file of credentials in the environment."""
_LISTED = ", ".join(f"{scheme}://" for scheme in SCHEMES)
