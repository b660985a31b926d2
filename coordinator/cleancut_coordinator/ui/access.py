"""Access to the status page: which caller a request is of, and what it may read.

A token comes as `Authorization: Bearer` or in a cookie that holds it. The cookie is the token
itself: every coordinator takes it without anything that they share, and it ends with the token's
line. What could be made of the digests in the tokens file would let a reader of that file in.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from cleancut.core.primitives.errors import CleancutError, Invalid
from cleancut.page.routes import Page
from cleancut.rpc.audit import audit_line
from cleancut.rpc.authentication import Caller, check_role
from cleancut.runtime.addresses import is_loopback_host
from cleancut_coordinator.ui.listen import PageListen
from cleancut_coordinator.ui.tls import names_of

_BEARER = "bearer "
_COOKIE = "cleancut-token"


def cookie_name(listen: PageListen) -> str:
    """With TLS, one that only this host can set, and that no plain connection carries."""
    return _COOKIE if listen.tls is None else f"__Host-{_COOKIE}"


def caller_of(request: web.Request, listen: PageListen) -> Caller:
    """Raises: Unauthenticated."""
    secret = _secret(request, listen)
    transport = request.transport
    names = () if transport is None else names_of(transport.get_extra_info("peercert"))
    return listen.access.identify(secret, names, local=is_local(request))


def is_local(request: web.Request) -> bool:
    """Whether a process of this host asks."""
    return request.remote is not None and is_loopback_host(request.remote)


def admit(request: web.Request, page: Page, listen: PageListen) -> Caller:
    """The caller, if it may read the page. Raises: Unauthenticated, Denied; refusals are recorded
    like those of the API."""
    name = f"{request.method} {page.path}"
    facts = {"method": name, "needs": page.role, "peer": request.remote or ""}
    who: dict[str, object] = {"who": "", "how": "", "role": None}
    try:
        caller = caller_of(request, listen)
        who = {"who": caller.name, "how": caller.how, "role": caller.role}
        check_role(caller, page.role, name)
    except CleancutError as error:
        if _secret(request, listen) is not None or who["who"]:
            line = {"level": "warning", **who, **facts, "decision": "denied"}
            listen.lines.write(audit_line({**line, "status": error.grpc_status}, None))
        raise
    return caller


def check_host(request: web.Request, listen: PageListen) -> None:
    """On loopback, the name that a browser asks for is one of this host: a page of another site
    that has its name lead here would have this one's rights otherwise.

    Raises: Invalid.
    """
    if not listen.loopback:
        return
    parts = split_url(f"//{request.host}")
    if parts is None or not is_loopback_host(parts.hostname or ""):
        raise Invalid(
            f"this page answers to localhost alone, and was asked for as {request.host!r}",
            "open it as http://localhost:PORT; over a network, see --ui",
        )


def check_origin(request: web.Request) -> None:
    """A form of another site signs no one in or out. Raises: Invalid."""
    origin = request.headers.get("Origin")
    parts = split_url(origin or "")
    if origin is not None and (parts is None or parts.netloc != request.host):
        raise Invalid(f"a form of {origin!r} was sent here", "sign in on this page")


def split_url(text: str) -> SplitResult | None:
    """Its parts; None, if it cannot be read as a URL."""
    try:
        parts = urlsplit(text)
        _ = parts.hostname  # checked as it is read
    except ValueError:
        return None
    return parts


def _secret(request: web.Request, listen: PageListen) -> str | None:
    """The token of a request; "" for a header without one; None if it has neither."""
    given = request.headers.get("Authorization")
    if given is not None:
        return given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
    return request.cookies.get(cookie_name(listen))
