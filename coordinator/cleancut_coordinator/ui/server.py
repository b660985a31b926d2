"""Server of the status page: routes, forms, errors and headers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import web

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    Unauthenticated,
    Unavailable,
)
from cleancut.core.primitives.visible import visible
from cleancut.page.render import render, static
from cleancut.page.routes import MANIFEST, PAGES, Page
from cleancut.page.views import View, document
from cleancut.rpc.authentication import Caller
from cleancut.runtime.addresses import parse_address
from cleancut_coordinator.ui.access import (
    admit,
    check_host,
    check_origin,
    cookie_name,
    is_local,
    split_url,
)
from cleancut_coordinator.ui.listen import PageListen
from cleancut_coordinator.ui.live import Streams
from cleancut_coordinator.ui.memory import PageMemory
from cleancut_coordinator.ui.site import Site
from cleancut_coordinator.ui.tls import server_context

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_STATUS = {"INVALID": 400, "NOT_FOUND": 404, "UNAUTHENTICATED": 401, "DENIED": 403}
_READS = {"GET", "HEAD"}
_FORMS = {"/login", "/logout"}
_MAX_BODY = 4096
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """The handlers of one coordinator; `name`: of the coordinator, for the foot of pages."""

    def __init__(self, site: Site, memory: PageMemory, listen: PageListen, name: str) -> None:
        self._site, self._memory, self._listen, self._name = site, memory, listen, name
        self._streams = Streams(memory)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=_MAX_BODY)
        app.on_response_prepare.append(_with_headers)
        for page in PAGES:
            app.router.add_get(f"{page.path}.json", self._json_of(page))
            if page.path != "/backups/{name}":
                app.router.add_get(page.path, self._html_of(page))
            app.router.add_get(f"{page.path}.live", self._live_of(page))
        app.router.add_get("/backups/{name}", self._html_of(PAGES[-1]))
        app.router.add_get(MANIFEST.path, self._manifest)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/login", self._login_form)
        app.router.add_post("/login", self._login)
        app.router.add_post("/logout", self._logout)
        return app

    def _json_of(self, page: Page) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            admit(request, page, self._listen)
            view = await self._site.view(page, request)
            return web.Response(body=document(view.json), content_type="application/json")

        return handle

    def _html_of(self, page: Page) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = admit(request, page, self._listen)
            return self._page(await self._site.view(page, request), request, caller)

        return handle

    def _live_of(self, page: Page) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            async def fragment() -> str:
                """Again each time: the role may have been taken away. Raises: Denied."""
                admit(request, page, self._listen)
                view = await self._site.view(page, request)
                return self._fragment(view, request.path) if view.live else ""

            return await self._streams.serve(request, fragment)

        return handle

    def _fragment(self, view: View, path: str) -> str:
        return render(view.live, self._memory.seen.at_s, live=path, **view.values)

    def _page(self, view: View, request: web.Request, caller: Caller) -> web.Response:
        path = request.path.rstrip("/")
        query = f"?{request.query_string}" if request.query_string else ""
        text = render(
            "page.html",
            self._memory.seen.at_s,
            page=view.page,
            title=view.title,
            cluster=self._memory.seen.cluster,
            caller=caller,
            body=view.body,
            json_path=f"{path or '/'}.json{query}",
            live=f"{path or '/'}.live{query}" if view.live else "",
            served_by=self._name,
            **view.values,
        )
        return web.Response(text=text, content_type="text/html")

    def _plain(self, body: str, title: str, status: int = 200, **values: Any) -> web.Response:
        text = render(
            "page.html",
            0.0,
            page=None,
            title=title,
            cluster="",
            seen=None,
            body=body,
            served_by="",
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html")

    # Files and forms

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        admit(request, MANIFEST, self._listen)
        epoch, body = await self._site.manifest(request)
        headers = {"Content-Disposition": f'attachment; filename="backup-{epoch}-manifest.json"'}
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        kind = _TYPES.get(name.rpartition(".")[2])
        try:
            body = static(name) if kind and _FILE.fullmatch(name) else None
        except OSError:
            body = None
        if body is None:
            raise web.HTTPNotFound
        return web.Response(body=body, content_type=kind, headers={"Cache-Control": "max-age=300"})

    async def _login_form(self, request: web.Request) -> web.StreamResponse:
        return self._plain(
            "login.html", "Sign in", next=_own_path(request.query.get("next")), wrong=""
        )

    async def _login(self, request: web.Request) -> web.StreamResponse:
        check_origin(request)
        given = await request.post()
        secret, after = str(given.get("token", "")).strip(), _own_path(str(given.get("next", "/")))
        try:
            self._listen.access.identify(secret, (), local=is_local(request))
        except Unauthenticated as error:
            wrong = f"{error.message}: {error.hint}" if error.hint else error.message
            return self._plain("login.html", "Sign in", 401, next=after, wrong=wrong)
        answer = _led_to(after)
        answer.set_cookie(
            cookie_name(self._listen),
            secret,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._listen.tls is not None,
        )
        return answer

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        check_origin(request)
        answer = _led_to("/login")
        secure = self._listen.tls is not None
        answer.del_cookie(cookie_name(self._listen), path="/", secure=secure, httponly=True)
        return answer

    # Errors

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_host(request, self._listen)
            if request.method not in _READS and (
                request.method != "POST" or request.path not in _FORMS
            ):
                raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
            answer = await handler(request)
            if answer.status == 200 and not answer.prepared:
                answer.enable_compression()
            return answer
        except web.HTTPException as error:
            phrase = HTTPStatus(error.status).phrase
            shown = self._failed(request, Invalid(phrase, ""), error.status)
            if isinstance(error, web.HTTPMethodNotAllowed):
                shown.headers["Allow"] = error.headers["Allow"]
            return shown
        except Unauthenticated as error:
            if _wants_json(request):
                return self._failed(request, error, 401)
            return _led_to(f"/login?next={quote(request.path_qs)}")
        except CleancutError as error:
            return self._failed(request, error, _STATUS.get(error.reason, 503))

    def _failed(self, request: web.Request, error: CleancutError, status: int) -> web.Response:
        if _wants_json(request):
            reason = error.reason if status != 405 else "METHOD_NOT_ALLOWED"
            facts = {"code": status, "message": error.message, "hint": error.hint}
            body = document({"error": {**facts, "reason": reason}})
            return web.Response(body=body, status=status, content_type="application/json")
        title = "Not allowed" if isinstance(error, Denied) else HTTPStatus(status).phrase
        values = {"message": visible(error.message), "hint": error.hint}
        return self._plain("error.html", title, status, **values)


def _led_to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


async def _with_headers(_: web.Request, answer: web.StreamResponse) -> None:
    """As late as possible: the server's own version is set before."""
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = "cleancut"


def _wants_json(request: web.Request) -> bool:
    return request.path.endswith((".json", ".live"))


def _own_path(text: str | None) -> str:
    """A path of this page; "/" for anything else, so that no login leads elsewhere."""
    path, parts = text or "/", split_url(text or "/")
    own = parts is not None and not parts.scheme and not parts.netloc and path.startswith("/")
    plain = path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if own and plain else "/"


@asynccontextmanager
async def serve_page(server: PageServer, listen: PageListen) -> AsyncIterator[str]:
    """Serves inside the block; gives the address with the port that it got.

    Raises: Invalid, Denied (TLS files), Unavailable (port in use).
    """
    context = None if listen.tls is None else server_context(listen.tls, structlog.get_logger("ui"))
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, port = parse_address(listen.address)
        try:
            await web.TCPSite(runner, host, port, ssl_context=context).start()
        except OSError as error:
            raise Unavailable(
                f"the status page cannot listen on {listen.address}",
                "the port is in use, or this host lacks the address: see --ui",
            ) from error
        got = int(runner.addresses[0][1])
        yield f"[{host}]:{got}" if ":" in host else f"{host}:{got}"
    finally:
        await runner.cleanup()
