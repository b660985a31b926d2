"""Stores in Azure and Google Cloud whose service does wrong, and where their credentials come from.

Azure is a real Azurite, Google Cloud a server of ours; `FaultyStore` stands between.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.store.cloud import CloudStore, Timeouts
from cleancut.store.open import open_store
from cleancut.store.urls import CloudUrl, parse_store_url
from tests.contract.store.test_store import CountingClock, use
from tests.support.azurite import KEY, Azurite
from tests.support.certificates import Authority
from tests.support.gcs_server import READER, WRITER, GcsServer
from tests.support.store_proxy import Dialect, Fault, FaultyStore

PACK = "c/packs/1"
Act = Callable[[Store], Coroutine[Any, Any, object]]


class Site(NamedTuple):
    """A service, and a container or bucket in it that is empty."""

    server: Azurite | GcsServer
    bucket: str
    dialect: Dialect

    def url(self, endpoint: str = "") -> str:
        return self.server.url(self.bucket, "some/prefix", endpoint)


@pytest.fixture(params=[Dialect.AZURE, Dialect.GOOGLE])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Site:
    name = "azurite" if request.param is Dialect.AZURE else "gcs_server"
    server = request.getfixturevalue(name)
    for variable, value in server.environment().items():
        monkeypatch.setenv(variable, value)
    bucket = f"site{abs(hash(request.node.name)) % 10**9}"
    return Site(server, server.make_bucket(bucket), request.param)


QUICK = Timeouts(0.3, 0.3)


def opened(url: str, clock: SystemClock, timeouts: Timeouts) -> Store:
    where = parse_store_url(url)
    assert isinstance(where, CloudUrl)
    return CloudStore(where, clock, timeouts)


async def put(store: Store) -> None:
    await store.put("c/x", b"1" * 5000)


async def get(store: Store) -> bytes:
    return await store.get(PACK)


async def delete(store: Store) -> None:
    await store.delete(PACK)


async def list_all(store: Store) -> list[str]:
    return [info.path async for info in store.list("c/")]


async def stat(store: Store) -> object:
    return await store.stat(PACK)


class Case(NamedTuple):
    """`words`: of message or hint. `kind` None: it goes well all the same. `waits`: before that."""

    fault: Fault
    act: Act
    kind: type[CleancutError] | None
    words: str = ""
    waits: int = 0


CASES = (
    Case(Fault.SOME_ERRORS, put, None, waits=1),
    Case(Fault.SOME_ERRORS, list_all, None, waits=1),
    Case(Fault.ERRORS, put, Unavailable, "fails at", waits=5),
    Case(Fault.THROTTLED, get, Unavailable, "fails at", waits=5),
    Case(Fault.THROTTLED, delete, Unavailable, "fails at", waits=5),
    Case(Fault.DENIED, put, Denied, "Storage"),
    Case(Fault.DENIED, stat, Denied, "clock"),
    Case(Fault.DENIED, list_all, Denied, "Storage"),
    Case(Fault.FULL, put, Refused, "no space left"),
    Case(Fault.ARCHIVED, get, Refused, "archive tier"),
    Case(Fault.MISSING, get, NotFound, PACK),
    Case(Fault.HELD, delete, Refused, "retention policy"),
    Case(Fault.CUT, put, None),
    Case(Fault.CUT, get, None, waits=1),
    Case(Fault.HUNG, get, Unavailable, "no answer in time", waits=5),
    Case(Fault.HUNG, put, Unavailable, "no answer in time", waits=5),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fault}: {case.act.__name__}")
def test_what_a_service_does_wrong(site: Site, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault is an error of the kind that callers act by, or costs a retry and nothing else."""
    clock = CountingClock()

    async def run() -> CleancutError | None:
        faulty = FaultyStore(site.server.endpoint, site.dialect)
        async with faulty.serving():
            before = open_store(site.url(faulty.address), SystemClock())
            await before.put(PACK, b"0123456789" * 300)
            await before.close()
            limits = QUICK if case.fault is Fault.HUNG else Timeouts()
            store = opened(site.url(faulty.address), clock, limits)
            faulty.set(case.fault)
            try:
                await case.act(store)
            except CleancutError as error:
                return error
            finally:
                assert faulty.hits, "the fault was never met"
                faulty.set(Fault.NONE)
                await store.close()
            return None

    failed = asyncio.run(run())
    assert (None if failed is None else type(failed)) is case.kind
    assert case.words in str(failed)
    assert failed is None or failed.hint or case.kind is NotFound
    assert len(clock.slept) == case.waits


def test_a_call_that_hangs_can_be_cancelled(site: Site) -> None:
    """The caller goes on at once; the request itself ends within its bound."""

    async def run() -> None:
        faulty = FaultyStore(site.server.endpoint, site.dialect)
        async with faulty.serving():
            store = opened(site.url(faulty.address), SystemClock(), QUICK)
            faulty.set(Fault.HUNG)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.get(PACK)
            faulty.set(Fault.NONE)
            assert await store.stat(PACK) is None
            await store.close()

    asyncio.run(run())


def test_a_service_that_is_away(site: Site) -> None:
    """Refused connections are retried a bounded number of times, with growing waits."""
    clock = CountingClock()
    with pytest.raises(Unavailable, match="connection refused"):
        use(lambda: open_store(site.url("http://127.0.0.1:1"), clock), put)
    assert len(clock.slept) == 5
    assert 5 < sum(clock.slept) < 30


def test_a_container_or_bucket_that_is_missing(site: Site) -> None:
    url = site.server.url("no-such-bucket")
    for act in (put, list_all):
        with pytest.raises(Refused, match="does not exist") as refused:
            use(lambda: open_store(url, SystemClock()), act)
        assert "create it" in refused.value.hint


def test_the_time_of_the_service_and_its_folders(site: Site) -> None:
    async def look(store: Store) -> None:
        assert await store.folders() == ()
        for name in ("b/1", "a/2", "a/1/x"):
            await store.put(name, b"")
        assert await store.folders() == ("a", "b")
        now_s = await store.clock_s()
        assert now_s is not None
        assert now_s > 1e9

    use(lambda: open_store(site.url(), SystemClock()), look)


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """It is refused with the option to give; with it, the service is reached."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("store")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        (tmp_path / "keys").write_text(f"AZURE_STORAGE_ACCOUNT_KEY={KEY}\n")
        endpoint = f"https://127.0.0.1:{server.server_port}/a"
        url = f"az://c?account=a&endpoint={endpoint}&credentials={tmp_path / 'keys'}"
        with pytest.raises(Refused, match="certificate is not trusted") as refused:
            use(lambda: open_store(url, SystemClock()), put)
        assert "ca=" in refused.value.hint
        with pytest.raises(Denied):
            use(lambda: open_store(f"{url}&ca={authority.ca}", SystemClock()), put)
        server.shutdown()


class Denying(BaseHTTPRequestHandler):
    """Refuses everything; as a service of tokens, it gives one."""

    def _serve(self) -> None:
        asked: list[tuple[str, str]] = getattr(self.server, "asked", [])
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        asked.append((self.path + "?" + body, self.headers.get("Authorization", "")))
        token = "/oauth2/" in self.path
        given = {"access_token": "of-workload", "expires_in": 3600, "token_type": "Bearer"}
        data = json.dumps(given).encode() if token else b""
        self.send_response(200 if token else 403)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_PUT = do_POST = do_GET = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def denying() -> Any:
    with ThreadingHTTPServer(("127.0.0.1", 0), Denying) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_azures_workload_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projected token is exchanged at the authority, and what that gives goes to the store."""
    (tmp_path / "projected").write_text("projected-token")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "projected"))
    with denying() as server:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", endpoint)
        url = f"az://c?account=a&endpoint={endpoint}/a"
        with pytest.raises(Denied):
            use(lambda: open_store(url, SystemClock()), put)
        assert "client_assertion=projected-token" in server.asked[0][0]
        assert server.asked[1][1] == "Bearer of-workload"


def test_a_signature_is_in_no_error(tmp_path: Path) -> None:
    """A shared access signature is part of each URL that is asked for, and stays out of errors."""
    (tmp_path / "keys").write_text(
        "# of the second site\nAZURE_STORAGE_SAS_TOKEN=sv=1&sig=hidden\n"
    )
    with denying() as server:
        for endpoint in (f"http://127.0.0.1:{server.server_port}/a", "http://127.0.0.1:1/a"):
            url = f"az://c?account=a&endpoint={endpoint}&credentials={tmp_path / 'keys'}"
            for act in (put, stat, list_all):
                with pytest.raises((Denied, Unavailable)) as failed:
                    use(lambda url=url: open_store(url, CountingClock()), act)
                assert "hidden" not in f"{failed.value} {failed.value.__cause__}"
        assert any("sig=hidden" in path for path, _ in server.asked)


def test_files_of_credentials_for_azure(azurite: Azurite, tmp_path: Path) -> None:
    """A file goes before the environment, is read again once it is refused, and its mistakes are
    named."""
    file = tmp_path / "keys"
    url = azurite.url(azurite.make_bucket("files")) + f"&credentials={file}"
    wrong = KEY.replace("E", "F", 1)

    async def act(store: Store) -> None:
        with pytest.raises(Denied, match="keys"):
            await store.put("c/x", b"1")
        file.write_text("account = x")
        with pytest.raises(Invalid, match="AZURE_STORAGE_ACCOUNT_KEY"):
            await store.put("c/x", b"1")
        for key in (wrong, KEY):
            file.write_text(f'AZURE_STORAGE_ACCOUNT_KEY="{key}"\n')
            if key == wrong:
                with pytest.raises(Denied):
                    await store.put("c/x", b"1")
        await store.put("c/x", b"1")
        file.write_text(f"AZURE_STORAGE_ACCOUNT_KEY={KEY}\n")
        assert await store.get("c/x") == b"1"

    use(lambda: open_store(url, SystemClock()), act)


def test_an_archived_blob(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Azure itself answers: it cannot be read, and the hint says what can be done."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    url = azurite.url(azurite.make_bucket("cold")) + "&storage_class=Cool"

    async def act(store: Store) -> None:
        await store.put(PACK, b"1")
        azurite.archive("cold", PACK)
        assert await store.stat(PACK) is not None
        with pytest.raises(Refused, match="archive tier") as refused:
            await store.get(PACK)
        assert "set-tier" in refused.value.hint

    use(lambda: open_store(url, SystemClock()), act)


def test_an_account_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(Invalid, match="names no account"):
        use(lambda: open_store("az://c", SystemClock()), put)


def test_a_token_that_may_only_read_or_was_withdrawn(
    gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A denial is final; a token that is no longer taken is fetched again, which costs no call."""
    for variable, value in gcs_server.environment().items():
        monkeypatch.setenv(variable, value)
    url = gcs_server.url(gcs_server.make_bucket("tokens")) + "&storage_class=NEARLINE"

    async def act(store: Store) -> None:
        gcs_server.token = "withdrawn-later"
        with pytest.raises(Denied):
            await store.put("c/x", b"1")
        gcs_server.token = READER
        with pytest.raises(Denied):
            await store.put("c/x", b"1")
        gcs_server.token = WRITER
        await store.put("c/x", b"1")
        method, _, headers = gcs_server.asked[-1]
        assert method == "PUT"
        assert headers["x-goog-storage-class"] == "NEARLINE"
        assert headers["x-goog-if-generation-match"] == "0"

    use(lambda: open_store(url, SystemClock()), act)


def test_files_of_credentials_for_google(gcs_server: GcsServer, tmp_path: Path) -> None:
    """A type that cannot be used is named, and so is a file that is missing."""
    file = tmp_path / "key.json"
    url = gcs_server.url(gcs_server.make_bucket("keys")) + f"&credentials={file}"

    def refusal() -> Denied:
        with pytest.raises(Denied) as denied:
            use(lambda: open_store(url, SystemClock()), put)
        return denied.value

    assert str(file) in str(refusal())
    file.write_text(json.dumps({"type": "external_account", "audience": "x"}))
    assert "service_account and authorized_user" in refusal().hint
