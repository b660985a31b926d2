"""HTTP as Qdrant speaks it: the envelope, keys, counters; and how a request is read."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.telemetry import Requests
from cleancut_devcluster.peer.engine.errors import Panic, Problem, bad_request

OPEN_PATHS = frozenset({"/", "/healthz", "/livez", "/readyz"})
READING_POSTS = ("/points", "/scroll", "/count", "/query", "/batch", "/facet", "/search")
MAX_BODY_BYTES = 1 << 30
DEFAULT_TIMEOUT_S = 10.0
Answer = Callable[[web.Request], Awaitable[Any]]


@dataclass(slots=True)
class Server:
    """What every route needs."""

    node: Node
    spawn: Callable[[Coroutine[Any, Any, Any]], object]
    api_key: str | None = None
    read_only_api_key: str | None = None
    url_recovery: bool = True
    requests: Requests = field(default_factory=Requests)


SERVER: web.AppKey[Server] = web.AppKey("server", Server)


def server_of(request: web.Request) -> Server:
    return request.app[SERVER]


def node_of(request: web.Request) -> Node:
    return request.app[SERVER].node


def name_of(request: web.Request) -> str:
    return request.match_info["collection_name"]


def shard_of(request: web.Request) -> int:
    """Raises: Problem 404, as Qdrant's router does for anything but a number."""
    try:
        return int(request.match_info["shard"])
    except ValueError:
        raise Problem(404, "Not found: no such shard") from None


def timeout_of(request: web.Request) -> float:
    """Unit: seconds. Raises: Problem 400."""
    try:
        return float(request.query.get("timeout", DEFAULT_TIMEOUT_S))
    except ValueError:
        raise bad_request("timeout is not a number") from None


def flag(request: web.Request, name: str, default: bool) -> bool:
    return request.query.get(name, str(default)).lower() == "true"


async def body_of(request: web.Request) -> Json:
    """Raises: Problem 400, unless it is one JSON object."""
    body = await json_of(request)
    if not isinstance(body, dict):
        raise bad_request("Format error in JSON body: expected an object")
    return body


async def json_of(request: web.Request) -> Any:
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise bad_request(f"Format error in JSON body: {error}") from error


def answer(result: Any, started_s: float, status: int = 200) -> web.Response:
    word = "ok" if status == 200 else "acknowledged"
    shown = {"result": result, "status": word, "time": time.perf_counter() - started_s}
    return _json(shown, status)


def _json(shown: Any, status: int) -> web.Response:
    body = msgspec.json.encode(shown)
    return web.Response(body=body, status=status, content_type="application/json")


def json_route(call: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The route that answers with what `call` returns, in Qdrant's envelope."""

    async def route(request: web.Request) -> web.StreamResponse:
        started_s = time.perf_counter()
        try:
            result = await call(request)
        except (KeyError, TypeError, AttributeError) as error:
            raise bad_request(f"Format error in JSON body: {error!r}") from error
        if isinstance(result, web.StreamResponse):
            return result
        return answer(result, started_s)

    return route


@web.middleware
async def outermost(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Keys are checked, problems become answers, and every answer is counted."""
    server = server_of(request)
    route = _route_text(request)
    started_s = time.perf_counter()
    try:
        _check_key(server, request)
        response = await handler(request)
        status = response.status
    except Panic:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # the client has disconnected
    except Problem as problem:
        status = problem.status
        shown = {"status": {"error": problem.text}, "time": time.perf_counter() - started_s}
        response = _json(shown, status)
    except web.HTTPException as error:
        server.requests.count_rest(route, error.status)
        raise
    server.requests.count_rest(route, status)
    return response


def _route_text(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else request.path}"


def _check_key(server: Server, request: web.Request) -> None:
    """Raises: Problem 401, without a valid key; 403, for a change with the read-only one."""
    if server.api_key is None or request.path in OPEN_PATHS:
        return
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    given = request.headers.get("api-key") or bearer
    if hmac.compare_digest(given.encode(), server.api_key.encode()):
        return
    read_only = server.read_only_api_key
    if read_only is None or not hmac.compare_digest(given.encode(), read_only.encode()):
        raise Problem(401, "Must provide an API key or an Authorization bearer token")
    if not _only_reads(request):
        raise Problem(403, "Forbidden: Global manage access is required")


def _only_reads(request: web.Request) -> bool:
    if request.method == "GET":
        return True
    return request.method == "POST" and (
        request.path.endswith(READING_POSTS) and not request.path.endswith("/points/batch")
    )
