"""A watch that survives its connections: nothing lost, nothing twice, or Compacted.

**Invariant:** the next revision to ask for follows the last change handed over, never a header:
the header of a lagging watch already shows the newest revision of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from cleancut.core.primitives.errors import CleancutError, Denied, TimedOut, Unavailable
from cleancut.etcd.calls import PAUSE_S, WATCH, EtcdLink
from cleancut.etcd.channels import Endpoint
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.etcd.wire import decode_changes, watch_request
from cleancut.ports.coordination import Change, Compacted

SHORT_S = 1.0
MAX_SHORT_STREAMS = 50


class Watching:
    """One watch over all its streams. `next_revision` is what the next stream starts at."""

    def __init__(self, link: EtcdLink, prefix: str, start_revision: int) -> None:
        self._link = link
        self._prefix = prefix
        self.next_revision = start_revision
        self._fresh = False
        self._turns = link.seen.turns

    async def changes(self) -> AsyncGenerator[tuple[Change, ...], None]:
        """Raises: Compacted, Denied; Unavailable once no endpoint has served it for `call_s`, or
        when its streams end at once again and again.
        """
        short = 0
        while short < MAX_SHORT_STREAMS:
            endpoint, call = await self._open()
            opened_s = self._link.clock.monotonic_s()
            try:
                while (answer := await self._next(endpoint, call)) is not None:
                    self._link.seen.check_watch(self._turns)
                    if changes := self._advance(answer):
                        short = 0
                        yield changes
            finally:
                call.cancel()
            if self._link.clock.monotonic_s() - opened_s < SHORT_S:
                short += 1
                await self._link.clock.sleep(PAUSE_S)
        raise Unavailable("etcd keeps ending the watch", self._link.hint)

    async def _open(self) -> tuple[Endpoint, Any]:
        """A stream whose watch etcd has confirmed."""
        last: CleancutError | None = None
        for pause_s, timeout_s in self._link.tries():
            await self._link.clock.sleep(pause_s)
            endpoint = await self._link.current()
            try:
                return endpoint, await self._create(endpoint, timeout_s)
            except TimeoutError:
                self._link.leave(endpoint)
                last = TimedOut(f"{endpoint.address} does not confirm a watch")
            except (Unavailable, TimedOut) as error:
                last = error
        raise Unavailable(f"no watch on etcd: {last and last.message}", self._link.hint) from last

    async def _create(self, endpoint: Endpoint, timeout_s: float) -> Any:
        logins = endpoint.logins
        with self._link.mapped(endpoint):
            metadata = await self._link.metadata(endpoint, timeout_s)
            call = endpoint.channel.stream_stream(
                WATCH,
                request_serializer=pb.WatchRequest.SerializeToString,
                response_deserializer=pb.WatchResponse.FromString,
            )(metadata=metadata)
        self._fresh = endpoint.logins > logins
        confirmed = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._confirm(endpoint, call)
            confirmed = True
            self._fresh = False
        finally:
            if not confirmed:
                call.cancel()
        return call

    async def _confirm(self, endpoint: Endpoint, call: Any) -> None:
        with self._link.mapped(endpoint):
            try:
                await call.write(watch_request(self._prefix, self.next_revision))
                answer = await call.read()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                # A write to a dead stream says nothing of use; the status of the call does.
                code, details = await call.code(), await call.details()
                fresh = self._fresh
                raise self._link.to_error(code, details or "", endpoint, fresh=fresh) from None
        if answer is grpc.aio.EOF:
            self._link.leave(endpoint)
            raise Unavailable(f"{endpoint.address} ended a watch at once")
        self._check(answer, endpoint)
        await self._link.check_revision(answer.header.revision)
        self._link.seen.check_watch(self._turns)
        if self.next_revision == 0:
            self.next_revision = answer.header.revision + 1

    async def _next(self, endpoint: Endpoint, call: Any) -> Any:
        """The next answer; None if the stream ended in a way that another one may mend."""
        try:
            with self._link.mapped(endpoint):
                answer = await call.read()
            if answer is grpc.aio.EOF:
                self._link.leave(endpoint)
                return None
            self._check(answer, endpoint)
        except (Unavailable, TimedOut):
            return None
        return answer

    def _check(self, answer: Any, endpoint: Endpoint) -> None:
        """Raises: Compacted, Denied, Unavailable, if etcd has ended the watch with this answer."""
        if answer.compact_revision:
            raise Compacted(answer.compact_revision)
        if answer.canceled:
            reason = answer.cancel_reason or "no reason given"
            if "denied" in reason or "auth" in reason:
                if self._link.logged_out(reason, endpoint, fresh=self._fresh):
                    raise Unavailable(f"etcd wants a new login: {reason}", self._link.hint)
                raise Denied(f"etcd refuses the watch: {reason}", self._link.denied_hint)
            self._link.leave(endpoint)
            raise Unavailable(f"etcd ended the watch: {reason}", self._link.hint)

    def _advance(self, answer: Any) -> tuple[Change, ...]:
        changes = decode_changes(answer.events, self.next_revision)
        if changes:
            self.next_revision = changes[-1].kv.mod_revision + 1
        return changes
