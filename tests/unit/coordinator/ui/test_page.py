"""The status page over a real listener: who gets in, what is refused, and what a browser may do."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from cleancut.api.backups import Backup
from cleancut.api.cluster import DoctorFinding
from cleancut.core.auth.roles import NEEDS, Role
from cleancut.core.primitives.errors import Invalid
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import State
from cleancut.page.routes import PAGES
from cleancut.rpc.authentication import Access, TokensFile
from cleancut.rpc.server import Listen
from cleancut.runtime.tls import Tls
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.ui.listen import PageListen, open_page
from tests.support.api_callers import Lines, secret_of, token_line, write_tokens
from tests.support.page_source import MANIFEST, MemorySource, served_page

OPEN = PageListen("127.0.0.1:0", Access())
HTML = [page.path.replace("{name}", "1") for page in PAGES if page.path != "/audit"]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str


Ask = Callable[..., Awaitable[Answer]]


def ask(
    listen: PageListen,
    scenario: Callable[[Ask], Awaitable[None]],
    operations: MemoryApi | None = None,
) -> None:
    """Runs `scenario` against a page of one backup."""

    async def main() -> None:
        api = operations or MemoryApi()
        await api.create_backup(BackupRequest(), "r-1")
        jar = aiohttp.DummyCookieJar()
        async with (
            served_page(MemorySource(api), listen) as address,
            aiohttp.ClientSession(f"http://{address}", cookie_jar=jar) as session,
        ):

            async def call(path: str, method: str = "GET", **more: object) -> Answer:
                async with session.request(
                    method,
                    path,
                    allow_redirects=False,
                    **more,  # type: ignore[arg-type]
                ) as got:
                    return Answer(got.status, got.headers, await got.text())

            await scenario(call)

    asyncio.run(main())


def with_tokens(folder: Path, audit: Lines | None = None) -> PageListen:
    lines = (token_line(role.value, role) for role in Role)
    tokens = TokensFile(write_tokens(folder / "tokens", *lines), look_s=0)
    return PageListen("127.0.0.1:0", Access(tokens=tokens), audit=audit)


def bearer(name: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {secret_of(name)}"}}


def test_every_page_and_its_json_answer_on_loopback_without_tokens() -> None:
    async def scenario(call: Ask) -> None:
        for path in HTML:
            shown, data = await call(path), await call(f"{path}.json")
            assert (shown.status, data.status) == (200, 200), path
            assert shown.text.startswith("<!doctype html>")
            assert json.loads(data.text)["schema"] == 1

    ask(OPEN, scenario)


def test_json_has_the_shapes_of_the_command_line() -> None:
    async def scenario(call: Ask) -> None:
        listed = json.loads((await call("/backups.json")).text)
        shown = json.loads((await call("/backups/1.json")).text)
        assert listed["backups"][0]["id"] == shown["backup"]["id"] == "bk-1"
        assert shown["backup"]["state"] == "PREPARING"

    ask(OPEN, scenario)


def test_the_first_page_begins_with_the_sentence_of_the_command_line() -> None:
    async def scenario(call: Ask) -> None:
        told = json.loads((await call("/.json")).text)["status"]
        verdict, _, rest = told["summary"].partition(":")
        assert verdict == ("Protected" if told["protected"] else "NOT protected")
        text = (await call("/")).text
        assert f"<b>{verdict}:</b>{html.escape(rest)}" in text.replace("&#39;", "&#x27;")

    ask(OPEN, scenario)


def test_a_browser_is_allowed_nothing_but_what_the_page_itself_serves() -> None:
    async def scenario(call: Ask) -> None:
        for path in ("/", "/backups/77", "/login", "/static/page.css", "/.json"):
            headers = (await call(path)).headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "aiohttp" not in headers["Server"]
        packed = await call("/static/page.css", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"

    ask(OPEN, scenario)


def test_a_manifest_is_a_file_with_the_bytes_of_the_store(tmp_path: Path) -> None:
    """Operators may have it: ids and vectors of sample queries are in it."""
    path = "/backups/1/manifest.json"

    async def scenario(call: Ask) -> None:
        got = await call(path, **bearer("operator"))
        assert got.status == 200
        assert got.text.encode() == MANIFEST
        assert got.headers["Content-Type"].startswith("application/json")
        disposition = 'attachment; filename="backup-1-manifest.json"'
        assert got.headers["Content-Disposition"] == disposition
        assert got.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert got.headers["Cache-Control"] == "no-store"
        assert (await call("/backups/9/manifest.json", **bearer("operator"))).status == 404
        assert (await call(path)).status == 401
        refused = await call(path, **bearer("reader"))
        assert refused.status == 403
        assert json.loads(refused.text)["error"]["reason"] == "DENIED"

    ask(with_tokens(tmp_path), scenario)


def test_the_link_to_a_manifest_is_there_for_those_who_may_follow_it(tmp_path: Path) -> None:
    source = MemorySource(catalog=(Backup(id="b-7", epoch=7, state=State.COMMITTED),))

    async def main() -> None:
        listen = with_tokens(tmp_path)
        async with served_page(source, listen) as address, aiohttp.ClientSession() as session:
            source.operations.backups["b-7"] = source.catalog[0]
            for role, shown in (("reader", False), ("operator", True)):
                url = f"http://{address}/backups/7"
                async with session.get(url, **bearer(role)) as got:  # type: ignore[arg-type]
                    assert ("/backups/7/manifest.json" in await got.text()) == shown, role

    asyncio.run(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_the_two_forms_take_a_post(method: str) -> None:
    async def scenario(call: Ask) -> None:
        for path in ("/", "/backups", "/backups/1", "/.json", "/static/page.css", "/nothing"):
            answer = await call(path, method)
            assert answer.status == 405, path
            assert answer.headers["Allow"] == "GET,HEAD"

    ask(OPEN, scenario)


def test_the_name_of_another_site_is_refused_on_loopback() -> None:
    async def scenario(call: Ask) -> None:
        assert (await call("/", headers={"Host": "evil.example"})).status == 400
        assert (await call("/.json", headers={"Host": "127.0.0.1.evil.example:7402"})).status == 400
        assert (await call("/", headers={"Host": "localhost:9999"})).status == 200
        assert (await call("/", headers={"Host": "[::1]:7402"})).status == 200
        assert (await call("/", headers={"Host": "[::1"})).status == 400

    ask(OPEN, scenario)


def test_without_a_token_json_is_refused_and_a_page_leads_to_the_form(tmp_path: Path) -> None:
    async def scenario(call: Ask) -> None:
        for path in HTML:
            refused, led = await call(f"{path}.json"), await call(path)
            assert refused.status == 401
            assert json.loads(refused.text)["error"]["reason"] == "UNAUTHENTICATED"
            assert (led.status, led.headers["Location"]) == (303, f"/login?next={path}")
        assert (await call("/", headers={"Authorization": "Basic x"})).status == 303
        assert (await call("/", headers={"Authorization": "Bearer \xff"})).status == 303
        assert (await call("/login")).status == 200
        assert (await call("/static/%00.css")).status == 404

    ask(with_tokens(tmp_path), scenario)


def test_each_role_reads_what_the_table_of_the_api_says(tmp_path: Path) -> None:
    audit = Lines()

    async def scenario(call: Ask) -> None:
        for role in Role:
            for page in PAGES:
                path = page.path.replace("{name}", "1")
                answer = await call(f"{path}.json", **bearer(role.value))
                allowed = role.covers(page.role)
                assert (answer.status == 200) == allowed, (role, path)
                assert allowed or answer.status == 403
        assert "/audit" not in (await call("/", **bearer("reader"))).text

    ask(with_tokens(tmp_path, audit), scenario)
    denied = [line for line in audit.all() if line["decision"] == "denied"]
    assert {line["method"] for line in denied} == {"GET /audit"}
    assert {line["who"] for line in denied} == {"reader", "operator"}


def test_pages_stand_for_methods_that_there_are() -> None:
    assert [page.path for page in PAGES if page.stands_for and page.stands_for not in NEEDS] == []


def test_a_cookie_is_the_token_and_ends_with_its_line(tmp_path: Path) -> None:
    listen = with_tokens(tmp_path)

    async def scenario(call: Ask) -> None:
        wrong = await call("/login", "POST", data={"token": "cct_guess", "next": "/"})
        assert wrong.status == 401
        assert "Set-Cookie" not in wrong.headers
        form = {"token": secret_of("reader"), "next": "/backups?page=2"}
        right = await call("/login", "POST", data=form)
        cookie = right.headers["Set-Cookie"]
        assert (right.status, right.headers["Location"]) == (303, "/backups?page=2")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {p.strip() for p in cookie.split(";")}
        kept = {"headers": {"Cookie": cookie.split(";")[0]}}
        assert (await call("/backups", **kept)).status == 200
        write_tokens(tmp_path / "tokens", token_line("other", Role.READER))
        assert (await call("/backups", **kept)).status == 303
        out = await call("/logout", "POST", **kept)
        assert (out.status, out.headers["Location"]) == (303, "/login")
        assert "Max-Age=0" in out.headers["Set-Cookie"]

    ask(listen, scenario)


@pytest.mark.parametrize(
    "after",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "x",
        "//[evil",
        "/\r\nSet-Cookie: a=b",
        "/\t/evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(after: str, tmp_path: Path) -> None:
    async def scenario(call: Ask) -> None:
        form = {"token": secret_of("reader"), "next": after}
        assert (await call("/login", "POST", data=form)).headers["Location"] == "/"
        for foreign in ("https://evil.example", "http://[evil", "null"):
            refused = await call("/login", "POST", data=form, headers={"Origin": foreign})
            assert refused.status == 400

    ask(with_tokens(tmp_path), scenario)


def test_text_of_others_is_shown_and_never_obeyed() -> None:
    """Bidi marks and controls are visible escapes; tags are text."""
    what = "shard <script>alert(1)</script> of \u202egpj.exe \x07"
    operations = MemoryApi(findings=(DoctorFinding(kind="x", severity="error", what=what),))

    async def scenario(call: Ask) -> None:
        text = (await call("/")).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; of \\u202egpj.exe \\x07" in text
        assert "<script>alert" not in text

    ask(OPEN, scenario, operations)


def test_a_stream_sends_what_has_changed_and_nothing_else() -> None:
    async def main() -> None:
        operations = MemoryApi()
        async with (
            served_page(MemorySource(operations), OPEN, reads=True) as address,
            aiohttp.ClientSession(f"http://{address}") as session,
            session.get("/.live") as stream,
        ):
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
            await operations.create_backup(BackupRequest(), "r-1")
            async with asyncio.timeout(30):
                async for line in stream.content:
                    if b"#1" in line:
                        return

    asyncio.run(main())


PLAIN, SECURE = Access(), Access(certificates={"dns:a": Role.READER})
TLS = Tls(Path("ca"), Path("cert"), Path("key"))


def test_a_network_needs_tls_and_known_callers() -> None:
    api = Listen("127.0.0.1:7400")
    assert open_page("127.0.0.1:7402", api).loopback
    with pytest.raises(Invalid, match="without TLS"):
        open_page("0.0.0.0:7402", Listen("0.0.0.0:7400", access=SECURE, allow_plaintext=True))
    with pytest.raises(Invalid, match="without tokens or roles"):
        open_page("0.0.0.0:7402", Listen("0.0.0.0:7400", tls=TLS, access=PLAIN))
    assert not open_page("0.0.0.0:7402", Listen("0.0.0.0:7400", tls=TLS, access=SECURE)).loopback
