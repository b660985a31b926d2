"""The `Store` port: one suite for a directory, for a real S3 server and for the fake."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.ports.store import ObjectInfo, Store
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut.testing.memory_store import MemoryStore
from tests.contract.store.conftest import KINDS
from tests.support.capturing import mounted
from tests.support.s3_server import READER_KEY, READER_SECRET, S3Server

T = TypeVar("T")
Opener = Callable[[], Store]


def use(opener: Opener, body: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """Runs `body` on a store that is opened for it and closed after it."""

    async def run() -> T:
        store = opener()
        try:
            async with asyncio.timeout(60):
                return await body(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def paths(found: AsyncIterator[ObjectInfo]) -> list[str]:
    return [info.path async for info in found]


def test_what_was_put_is_there_for_whoever_opens_the_store_next(store_opener: Opener) -> None:
    """An object is whole, has its size, and outlives the store object that wrote it."""
    data = bytes(range(256)) * 5000
    use(store_opener, lambda s: s.put("c/packs/1", data))

    async def read(store: Store) -> None:
        assert await store.get("c/packs/1") == data
        assert await store.stat("c/packs/1") == ObjectInfo("c/packs/1", len(data))

    use(store_opener, read)


def test_ranges_are_short_only_at_the_end(store_opener: Opener) -> None:
    """Offset and length give exactly these bytes; past the end there are none."""

    async def read(store: Store) -> None:
        await store.put("c/o", b"0123456789")
        assert await store.get("c/o", 3, 4) == b"3456"
        assert await store.get("c/o", 3) == b"3456789"
        assert await store.get("c/o", 8, 100) == b"89"
        assert await store.get("c/o", 10, 5) == b""
        assert await store.get("c/o", 99) == b""
        assert await store.get("c/o", 2, 0) == b""
        await store.put("c/empty", b"")
        assert await store.get("c/empty") == b""

    use(store_opener, read)


def test_an_object_is_written_once(store_opener: Opener) -> None:
    """The same bytes may be put again; others are refused and change nothing."""

    async def write(store: Store) -> None:
        await store.put("c/groups/1.json", b"first")
        await store.put("c/groups/1.json", b"first")
        with pytest.raises(Refused, match="written once") as refused:
            await store.put("c/groups/1.json", b"other")
        assert "prefix" in refused.value.hint
        with pytest.raises(Refused):
            await store.put("c/groups/1.json", b"longer than before")
        assert await store.get("c/groups/1.json") == b"first"

    use(store_opener, write)


def test_a_replaced_object_holds_the_new_bytes_alone(store_opener: Opener) -> None:
    """Longer, shorter or the same: in the place of an object, or where there was none."""

    async def write(store: Store) -> None:
        await store.put("c/packs/1", b"damaged")
        for data in (b"whole, and longer than before", b"short", b"short", b""):
            await store.replace("c/packs/1", data)
            assert await store.get("c/packs/1") == data
            assert await store.stat("c/packs/1") == ObjectInfo("c/packs/1", len(data))
        await store.replace("c/packs/2", b"lost")
        assert await store.get("c/packs/2") == b"lost"
        assert await paths(store.list("c/packs/")) == ["c/packs/1", "c/packs/2"]

    use(store_opener, write)


def test_what_is_not_there(store_opener: Opener) -> None:
    """Reading raises NotFound and names the path, stat says None, delete does nothing."""

    async def miss(store: Store) -> None:
        assert await paths(store.list("")) == []
        await store.put("c/there/x", b"1")
        for absent in ("c/nothing", "c/there", "c/no/such/x"):
            with pytest.raises(NotFound, match=absent):
                await store.get(absent)
            assert await store.stat(absent) is None
        await store.delete("c/nothing")
        await store.delete("c/there/x")
        await store.delete("c/there/x")
        assert await store.stat("c/there/x") is None
        await store.put("c/there/x", b"another, since the first is deleted")

    use(store_opener, miss)


def test_listing_goes_by_the_start_of_paths_and_is_sorted(store_opener: Opener) -> None:
    """All that starts with the prefix and nothing else, whether it ends at a `/` or not."""
    names = ["c/a/1", "c/a/2", "c/ab/1", "c/b", "d/a/1"]

    async def look(store: Store) -> None:
        for name in reversed(names):
            await store.put(name, name.encode())
        assert await paths(store.list("")) == names
        assert await paths(store.list("c/")) == names[:4]
        assert await paths(store.list("c/a")) == names[:3]
        assert await paths(store.list("c/a/")) == names[:2]
        assert await paths(store.list("c/a/2")) == ["c/a/2"]
        assert await paths(store.list("x")) == []
        assert [i.size_bytes async for i in store.list("c/b")] == [3]

    use(store_opener, look)


@pytest.mark.parametrize("store_opener", [kind for kind in KINDS if kind != "az"], indirect=True)
def test_listings_of_more_than_a_part_are_whole(store_opener: Opener) -> None:
    """1000 is where listings come in parts; Azurite's do at 5000 only."""

    async def look(store: Store) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(1010):
                group.create_task(store.put(f"c/many/{n:06d}", b""))
        assert await paths(store.list("c/many/")) == [f"c/many/{n:06d}" for n in range(1010)]

    use(store_opener, look)


@pytest.mark.parametrize(
    "path", ["", "/c", "c//x", "c/../x", "./c", "c/", "c/\n", "c\\x", "c/" + "x" * 900, "c/.tmp-1"]
)
def test_paths_that_could_leave_the_store_are_refused(store_opener: Opener, path: str) -> None:
    """No path reaches the adapter that a file system or a URL would read in another way."""

    async def attempt(store: Store) -> None:
        for call in (store.put(path, b""), store.get(path), store.stat(path), store.delete(path)):
            with pytest.raises(Invalid):
                await call
        if path:
            with pytest.raises(Invalid):
                await paths(store.list(path + "/x" if path == "c/" else path + "/../"))

    use(store_opener, attempt)


def test_many_at_once(store_opener: Opener) -> None:
    """More calls than threads: each gets its own answer."""

    async def work(store: Store) -> None:
        async def one(n: int) -> None:
            await store.put(f"c/{n:03d}", bytes([n]) * 3000)
            assert await store.get(f"c/{n:03d}", 1000, 10) == bytes([n]) * 10

        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(one(n))

    use(store_opener, work)


def fails(opener: Opener, kind: type[CleancutError]) -> CleancutError:
    """The error of a put, which has to be of `kind` and to say what to do."""
    with pytest.raises(kind) as failed:
        use(opener, lambda s: s.put("c/x", bytes(2_000_000)))
    assert failed.value.hint
    return failed.value


def test_a_memory_store_can_be_full() -> None:
    assert "no space" in str(fails(lambda: MemoryStore(limit_bytes=1000), Refused))


def file_store(root: Path) -> Opener:
    return lambda: open_store(root.as_uri(), SystemClock())


def test_a_directory_whose_parent_is_missing_is_not_made(tmp_path: Path) -> None:
    """A disk that is not mounted must not become a directory on the root disk."""
    assert "mounted" in str(fails(file_store(tmp_path / "mnt" / "store"), Refused))
    assert not (tmp_path / "mnt").exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    fails(file_store(tmp_path / "file"), Refused)


def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=1m"):
        opener = file_store(tmp_path / "small")
        assert "no space" in str(fails(opener, Refused))
        assert [p.name for p in (tmp_path / "small" / "c").iterdir()] == []
        use(opener, lambda s: s.put("c/x", b"fits"))


def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "ro"):
        assert "read-only" in str(fails(file_store(tmp_path / "fixed"), Refused))


def test_a_directory_of_another_user_is_denied(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        if os.uname().sysname != "Linux":
            pytest.skip("root may write everywhere, and only Linux has immutable directories")
        done = subprocess.run(["chattr", "+i", str(tmp_path)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("root may write everywhere, and this file system has no chattr +i")
        try:
            fails(file_store(tmp_path), Denied)
        finally:
            subprocess.run(["chattr", "-i", str(tmp_path)], check=True)
        return
    tmp_path.chmod(0o500)
    fails(file_store(tmp_path), Denied)


def test_a_file_where_a_directory_is_needed_refuses_the_put(tmp_path: Path) -> None:
    """Writing never tells that something was not found."""
    (tmp_path / "c").write_bytes(b"")
    assert "cannot take" in str(fails(file_store(tmp_path), Refused))


def test_deleting_leaves_no_empty_directories(tmp_path: Path) -> None:
    """And takes none away from who is just writing there."""

    async def churn(store: Store) -> None:
        async def one(name: str) -> None:
            for _ in range(200):
                await store.put(f"c/packs/one/{name}", b"x")
                await store.delete(f"c/packs/one/{name}")

        await store.put("c/packs/kept", b"x")
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(one(name))

    use(file_store(tmp_path), churn)
    assert [path.name for path in (tmp_path / "c" / "packs").iterdir()] == ["kept"]


def test_a_torn_write_is_not_listed(tmp_path: Path) -> None:
    """A process that dies in a put leaves a temporary file; nobody takes it for an object."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / ".tmp-0123").write_bytes(b"half")
    assert use(file_store(tmp_path), lambda s: paths(s.list("c/"))) == []


def test_listings_are_sorted_by_whole_paths(tmp_path: Path) -> None:
    """`a-b` comes before `a/b`, as in S3, though a directory's own order differs."""

    async def look(store: Store) -> None:
        for name in ("c/a/b", "c/a-b", "c/a.b", "c/ab"):
            await store.put(name, b"")
        assert await paths(store.list("c/")) == ["c/a-b", "c/a.b", "c/a/b", "c/ab"]

    use(file_store(tmp_path), look)


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server


def test_a_missing_bucket_is_told(s3_environment: S3Server) -> None:
    url = s3_environment.url("no-such-bucket")
    assert "create it" in fails(lambda: open_store(url, SystemClock()), Refused).hint


def test_credentials_that_do_not_suffice(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown keys, and keys that may only read, are denied at once: retrying cannot help."""
    url = s3_environment.url(s3_environment.make_bucket("readable"))
    for key, secret in ((READER_KEY, READER_SECRET), (READER_KEY, "wrong"), ("nobody", "x")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        fails(lambda: open_store(url, SystemClock()), Denied)


def test_no_credentials_at_all(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The whole chain is asked, and the hint names its usual ends."""
    for name in s3_environment.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    url = s3_environment.url("readable")
    assert "AWS_ACCESS_KEY_ID" in fails(lambda: open_store(url, SystemClock()), Denied).hint


def test_credentials_from_a_profile(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys in the shared credentials file work as well as those in the environment."""
    keys = s3_environment.environment()
    lines = ["[backups]", *(f"{name.lower()} = {value}" for name, value in keys.items())]
    (tmp_path / "credentials").write_text("\n".join(lines))
    for name in keys:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "backups")
    url = s3_environment.url(s3_environment.make_bucket("profiled"))
    use(lambda: open_store(url, SystemClock()), lambda s: s.put("c/x", b"1"))


def test_credentials_that_come_late_or_are_renewed(
    s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who was denied reads them anew at the next call: a mounted secret may change under us."""
    keys = s3_environment.environment()
    for name in keys:
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    url = s3_environment.url(s3_environment.make_bucket("late"))

    def write(secret: str) -> None:
        lines = [f"{name.lower()} = {value}" for name, value in keys.items()]
        file.write_text("\n".join(["[default]", *lines[:1], f"aws_secret_access_key = {secret}"]))

    async def act(store: Store) -> None:
        with pytest.raises(Denied):
            await store.put("c/x", b"1")
        write("wrong")
        with pytest.raises(Denied):
            await store.put("c/x", b"1")
        write(keys["AWS_SECRET_ACCESS_KEY"])
        await store.put("c/x", b"1")

    use(lambda: open_store(url, SystemClock()), act)


class CountingClock(SystemClock):
    """Passes waits over, and remembers them."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_an_endpoint_that_is_down_is_retried_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused connections are retried with growing waits, then told as Unavailable."""
    for name, value in S3Server().environment().items():
        monkeypatch.setenv(name, value)
    clock = CountingClock()
    url = "s3://bucket/p?endpoint=http://127.0.0.1:1&path_style=1&region=us-east-1"
    assert fails(lambda: open_store(url, clock), Unavailable).retryable
    assert len(clock.slept) == 5
    assert 5 < sum(clock.slept) < 30


class Recorder(BaseHTTPRequestHandler):
    """As much of S3 as a put needs: it refuses the first one for a while, and keeps the headers."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        seen: list[dict[str, str]] = self.server.seen  # type: ignore[attr-defined]
        seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(503 if len(seen) == 1 else 200)
        if len(seen) == 1:
            self.send_header("Retry-After", "17")
        self.send_header("Content-Length", "0")
        self.send_header("ETag", '"0"')
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_what_a_url_asks_for_is_sent_and_what_a_server_asks_for_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Storage class, encryption and a checksum with each object; and a wait as long as asked."""
    for name, value in S3Server().environment().items():
        monkeypatch.setenv(name, value)
    clock = CountingClock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.seen = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = (
            f"s3://b/p?endpoint=http://127.0.0.1:{server.server_port}&path_style=1&region=us-east-1"
            "&storage_class=STANDARD_IA&sse=aws:kms&kms_key=k1&checksum=SHA256"
        )
        use(lambda: open_store(url, clock), lambda s: s.put("c/x", b"1"))
        server.shutdown()
        seen: list[dict[str, str]] = server.seen  # type: ignore[attr-defined]
    assert clock.slept == [17.0]
    assert len(seen) == 2
    assert seen[1]["x-amz-storage-class"] == "STANDARD_IA"
    assert seen[1]["x-amz-server-side-encryption"] == "aws:kms"
    assert seen[1]["x-amz-server-side-encryption-aws-kms-key-id"] == "k1"
    assert seen[1]["x-amz-checksum-sha256"]
    assert seen[1]["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert seen[1]["if-none-match"] == "*"


def test_a_checksum_and_a_storage_class_on_a_real_server(s3_environment: S3Server) -> None:
    url = s3_environment.url(s3_environment.make_bucket("checked"))
    url += "&checksum=SHA256&storage_class=STANDARD&payload_signing=1"

    async def body(store: Store) -> bytes:
        await store.put("c/x", b"123")
        await store.put("c/x", b"123")
        return await store.get("c/x")

    assert use(lambda: open_store(url, SystemClock()), body) == b"123"


def test_opening_does_not_touch_the_store(tmp_path: Path) -> None:
    """A reader of a mistyped path leaves no directory behind."""
    assert use(file_store(tmp_path / "typo"), lambda s: paths(s.list(""))) == []
    assert not (tmp_path / "typo").exists()
