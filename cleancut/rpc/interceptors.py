"""API interceptors: errors as statuses, authentication, authorization, audit and size limits.

Health needs no role, reflection needs any role. `ErrorInterceptor` runs first and maps what is
raised here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog
from grpc_status import rpc_status

from cleancut.core.auth.roles import Role, role_needed, short_name
from cleancut.core.primitives.errors import CleancutError, TimedOut, Unavailable
from cleancut.rpc.audit import Audit, StreamAudit, audit_line
from cleancut.rpc.authentication import CALLER, Access, Caller, check_role
from cleancut.rpc.forwarding import HEADER, Forwarding
from cleancut.rpc.request_limits import MAX_WATCHES, check_sizes
from cleancut.rpc.statuses import LEADER_ADDRESS, UNARY_LIMIT_S, to_status

_OURS = "/cleancut."
_OPEN = "/grpc.health.v1."
_REFLECTION = "reflection"


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Around every method. One of a service that is not ours needs the least role there is.
    `watches`: at a time, at most."""

    def __init__(
        self,
        access: Access,
        audit: Audit | None = None,
        forwarding: Forwarding | None = None,
        *,
        watches: int = MAX_WATCHES,
    ) -> None:
        self._access, self._free = access, watches
        self._audit = audit or StreamAudit()
        self._forwarding = forwarding

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
        unary = self._unary(details.method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, **coders)

    def _unary(self, path: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """`path`: the method, with its package."""

        async def call(request: Any, context: Any) -> Any:
            forwarded = await self._forwarded(path, context)
            with self._passed(short_name(path), request, context, forwarded):
                check_sizes(request)
                return await inner(request, context)

        return call

    async def _forwarded(self, path: str, context: Any) -> Caller | CleancutError | None:
        """Who asks by a call that a standby passes on, or why that is not taken; None: no standby
        does."""
        header = dict(context.invocation_metadata() or ()).get(HEADER)
        if self._forwarding is None or not isinstance(header, bytes):
            return None
        try:
            self._access.check_line(context.peer())
            return await self._forwarding.caller_of(header, path)
        except CleancutError as error:
            return error

    def _stream(self, method: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._passed(method, request, context):
                check_sizes(request)
                with self._watching():
                    async with aclosing(inner(request, context)) as items:
                        async for item in items:
                            # During the hours of a watch, the role of its client may be revoked.
                            self._admit(method, request, context)
                            yield item

        return call

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Raises: Unavailable, if there are too many."""
        if self._free <= 0:
            raise Unavailable("this coordinator serves too many watches", "watch at another one")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

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
    def _passed(
        self,
        method: str,
        request: Any,
        context: Any,
        forwarded: Caller | CleancutError | None = None,
    ) -> Iterator[None]:
        """Raises: Unauthenticated, Denied, instead of entering the block."""
        needed = _needed(method, request)
        facts = {"method": method, "needs": needed, "peer": context.peer()}
        try:
            if isinstance(forwarded, CleancutError):
                raise forwarded
            caller = forwarded or self._access.caller(context)
            facts |= _who(caller)
            CALLER.set(caller)
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
                if FORWARDED_TO.get():
                    facts["forwarded_to"] = FORWARDED_TO.get()
                self._audit.write(audit_line({"level": "info", **facts}, request))


def _needed(method: str, request: Any) -> Role:
    return Role.READER if method == _REFLECTION else role_needed(method, request)


def _who(caller: Caller | None) -> dict[str, Any]:
    if caller is None:
        return {"who": "", "how": "", "role": None}
    facts = {"who": caller.name, "how": caller.how, "role": caller.role}
    return facts | ({"forwarder": caller.forwarder} if caller.forwarder else {})


Handler = Callable[[Any, Any], Any]
FORWARDED_TO: ContextVar[str] = ContextVar("forwarded_to", default="")
"""The leader's address, if it has answered the call of this task."""


class ForwardInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Around the methods themselves: what a standby refuses, the leader is asked by it. A call
    that was forwarded is not forwarded again, and watches need no leader."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None or not details.method.startswith(_OURS):
            return handler

        def serialized(answer: Any) -> bytes:
            done: bytes = (
                answer if isinstance(answer, bytes) else handler.response_serializer(answer)
            )
            return done

        return grpc.unary_unary_rpc_method_handler(
            self._unary(details.method, handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=serialized,
        )

    def _unary(self, path: str, inner: Handler) -> Handler:
        async def call(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except Unavailable as error:
                leader, caller = error.context.get(LEADER_ADDRESS), CALLER.get()
                if not leader or caller is None or caller.forwarder:
                    raise
                left_s = context.time_remaining()
                answer = await self._forwarding.forward(path, request, caller, left_s)
                if answer is None:
                    raise
                FORWARDED_TO.set(str(leader))
                return answer

        return call


_END = object()


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Around every method of our own services: deadline checked, errors mapped to statuses.

    A bug (any other exception) is logged and reported as INTERNAL without its text.
    """

    def __init__(self, prefix: str = "/cleancut.") -> None:
        self._prefix = prefix
        self._waits: set[asyncio.Timeout] = set()
        self._ending = False
        self._log = structlog.get_logger("rpc")

    def end_streams(self) -> None:
        """Ends all watches at once: their clients go on elsewhere, and would hold up an end."""
        self._ending = True
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(self._prefix):
            return handler
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_stream is not None:
            stream = self._stream(details.method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        unary = self._unary(details.method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, **coders)

    def _unary(self, method: str, inner: Handler) -> Handler:
        async def call(request: Any, context: Any) -> Any:
            try:
                async with asyncio.timeout(_time_left_s(context)):
                    return await inner(request, context)
            except TimeoutError:
                await self._fail(context, TimedOut("the call took too long", "look at its state"))
            except CleancutError as error:
                await self._fail(context, error)
            except grpc.aio.AbortError:
                raise
            except Exception:  # noqa: BLE001 -- the RPC border: a bug is logged, once
                await self._fail_as_bug(method, context)

        return call

    def _stream(self, method: str, inner: Handler) -> Handler:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                _time_left_s(context)
                items = aiter(inner(request, context))
                while (item := await self._next(items)) is not _END:
                    yield item
            except CleancutError as error:
                await self._fail(context, error)
            except grpc.aio.AbortError:
                raise
            except Exception:  # noqa: BLE001 -- as above
                await self._fail_as_bug(method, context)

        return call

    async def _next(self, items: AsyncIterator[Any]) -> Any:
        """The next item or _END. Raises: Unavailable if the server ends meanwhile.

        The wait is what ends, by its timeout: gRPC takes a cancelled task for a client that has
        left, and would tell it nothing.
        """
        try:
            async with asyncio.timeout(0 if self._ending else None) as wait:
                self._waits.add(wait)
                try:
                    return await anext(items, _END)
                finally:
                    self._waits.discard(wait)
        except TimeoutError as error:
            if not self._ending:
                raise
            raise Unavailable("this coordinator is ending", "watch at another one") from error

    async def _fail_as_bug(self, method: str, context: Any) -> NoReturn:
        self._log.exception("rpc_bug", method=method)
        bug = CleancutError("the coordinator failed on its own", "report its log, please")
        await self._fail(context, bug)

    async def _fail(self, context: Any, error: CleancutError) -> NoReturn:
        status = rpc_status.to_status(to_status(error))
        await context.abort(status.code, status.details, status.trailing_metadata)
        raise AssertionError("abort always raises")


def _time_left_s(context: Any) -> float:
    """Seconds the caller still waits. Raises: TimedOut if it no longer does."""
    left: float | None = context.time_remaining()
    if left is None:
        return UNARY_LIMIT_S
    if left <= 0:
        raise TimedOut("the call's deadline had passed before it began", "allow it more time")
    return left
