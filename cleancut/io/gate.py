"""Every call of the API passes here: who asks, may they, is it small enough, and the audit of it.

Health is for everybody, reflection for whoever has a role. `Border` stands before it and tells
what is raised here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
import grpc.aio

from cleancut.errors import CleancutError
from cleancut.io.access import Access, Caller, check_role
from cleancut.io.audit import Audit, StreamAudit, audit_line
from cleancut.io.request_limits import check_sizes
from cleancut.roles import Role, role_needed, short_name

_OURS = "/cleancut."
_OPEN = "/grpc.health.v1."
_REFLECTION = "reflection"


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Around every method. One of a service that is not ours needs the least role there is."""

    def __init__(self, access: Access, audit: Audit | None = None) -> None:
        self._access = access
        self._audit = audit or StreamAudit()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(_OPEN):
            return handler
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if not details.method.startswith(_OURS):
            return grpc.stream_stream_rpc_method_handler(self._foreign(handler), **coders)
        method = short_name(details.method)
        if handler.unary_stream is not None:
            stream = self._stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        unary = self._unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, **coders)

    def _unary(self, method: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def call(request: Any, context: Any) -> Any:
            with self._passed(method, request, context):
                check_sizes(request)
                return await inner(request, context)

        return call

    def _stream(self, method: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._passed(method, request, context):
                check_sizes(request)
                async with aclosing(inner(request, context)) as items:
                    async for item in items:
                        # A watch may last for hours, and whoever watches be known no longer.
                        self._admit(method, request, context)
                        yield item

        return call

    def _foreign(self, handler: Any) -> Callable[[Any, Any], Any]:
        async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
            try:
                with self._passed(_REFLECTION, None, context):
                    pass
            except CleancutError as error:
                await context.abort(grpc.StatusCode[error.grpc_status], error.message)
            async for item in handler.stream_stream(requests, context):
                yield item

        return call

    def _admit(self, method: str, request: Any, context: Any) -> Caller:
        """Raises: Unauthenticated, Denied."""
        caller = self._access.caller(context)
        check_role(caller, _needed(method, request), method)
        return caller

    @contextmanager
    def _passed(self, method: str, request: Any, context: Any) -> Iterator[None]:
        """Raises: Unauthenticated, Denied, instead of entering the block."""
        needed = _needed(method, request)
        facts = {"method": method, "needs": needed, "peer": context.peer()}
        try:
            caller = self._access.caller(context)
            facts |= _who(caller)
            check_role(caller, needed, method)
        except CleancutError as error:
            facts = {**_who(None), **facts, "decision": "denied", "status": error.grpc_status}
            self._audit.write(audit_line({"level": "warning", **facts}, request))
            raise
        status = "OK"
        try:
            yield
        except CleancutError as error:
            status = error.grpc_status
            raise
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except BaseException:
            status = "INTERNAL"
            raise
        finally:
            if needed is not Role.READER:
                facts |= {"decision": "allowed", "status": status}
                self._audit.write(audit_line({"level": "info", **facts}, request))


def _needed(method: str, request: Any) -> Role:
    return Role.READER if method == _REFLECTION else role_needed(method, request)


def _who(caller: Caller | None) -> dict[str, Any]:
    if caller is None:
        return {"who": "", "how": "", "role": None}
    return {"who": caller.name, "how": caller.how, "role": caller.role}
