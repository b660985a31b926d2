"""URLs of stores: file:// and s3://, parsed and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.spelling import suggestion

_HINT = "use file:///path or s3://bucket/prefix?endpoint=https://host&region=name&path_style=1"
_SSE = ("", "AES256", "aws:kms", "aws:kms:dsse")
_SWITCHES = ("path_style", "payload_signing")
_CHECKSUMS = ("", "CRC32", "SHA1", "SHA256")


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
            raise Invalid(f"store URL {url!r} is not an absolute path", _HINT)
        return FileUrl(Path(path))
    if parts.scheme == "s3":
        return _parse_s3(url, parts.netloc, unquote(parts.path).strip("/"), parts.query)
    raise Invalid(f"store URL {url!r} is neither file:// nor s3://", _HINT)


def _parse_s3(url: str, bucket: str, prefix: str, query: str) -> S3Url:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - _S3_OPTIONS)
    endpoint = options.get("endpoint", "")
    if not bucket:
        raise Invalid(f"store URL {url!r} names no bucket", _HINT)
    if unknown:
        likely = suggestion(unknown[0], _S3_OPTIONS)
        raise Invalid(
            f"store URL {url!r} has an unknown option `{unknown[0]}`{likely}",
            f"use only the options {', '.join(sorted(_S3_OPTIONS))}",
        )
    if endpoint and urlsplit(endpoint).scheme not in {"http", "https"}:
        raise Invalid(f"endpoint {endpoint!r} is not an http(s) URL", _HINT)
    for name in _SWITCHES:
        if options.get(name, "1") not in {"0", "1"}:
            raise Invalid(f"{name} is 0 or 1", _HINT)
    if any(part in {"", ".", ".."} for part in (prefix or "x").split("/")):
        raise Invalid(f"prefix {prefix!r} is not a normalized path", _HINT)
    sse, checksum = options.get("sse", ""), options.get("checksum", "")
    if sse not in _SSE or (options.get("kms_key") and "kms" not in sse):
        raise Invalid(f"sse={sse} is not known", "use sse=AES256, or sse=aws:kms&kms_key=ID")
    if checksum not in _CHECKSUMS:
        raise Invalid(f"checksum={checksum} is not known", f"use one of {_CHECKSUMS[1:]}")
    switches = {name: options.pop(name, "0") == "1" for name in _SWITCHES}
    return S3Url(bucket, prefix, **switches, **options)  # type: ignore[arg-type]
