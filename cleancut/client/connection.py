"""Calls to whichever coordinator answers: several addresses, the leader followed, watches resumed.
Certificates and tokens are read again once their files are replaced.

Repeating is safe: reads change nothing, and writes carry a request id or are repeatable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc.aio

from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Invalid,
    TimedOut,
    Unavailable,
)
from cleancut.rpc.channel import check_token_line, open_channel
from cleancut.rpc.statuses import LEADER_ADDRESS, from_call_error
from cleancut.runtime.addresses import is_ip, is_loopback, parse_address
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedFiles, WatchedSecret

CALL_S = 10.0
"""Bound of one unary call to one coordinator."""
RECONNECT_S = 60.0
"""How long a watch may be without any coordinator before it gives up."""
LEADERLESS_S = 20.0
"""Longer than the lease of a leader that died."""
PAUSE_S = 1.0
MAX_ADDRESSES = 16
MAX_REPLACED = 2 * MAX_ADDRESSES

Method = Callable[[grpc.aio.Channel], Any]
"""From a channel to the stub's method."""


class _LeaderGone(Exception):
    """A standby named a leader, and that one does not answer. `last`: the error to raise."""

    def __init__(self, last: CleancutError) -> None:
        super().__init__(str(last))
        self.last = last


def _with_cause(last: CleancutError, first: CleancutError | None) -> CleancutError:
    """A call that was not answered in time says what another coordinator answered before."""
    if first is None or not isinstance(last, TimedOut):
        return last
    return TimedOut(f"{last.message}; {first.message}", first.hint or last.hint)


def _names_on_loopback(addresses: Sequence[str]) -> dict[str, str]:
    """The name that a coordinator at 127.0.0.1 has to have a certificate of: that of the others, so
    that the command line in a coordinator's own pod may ask that one first."""
    names = [parse_address(one)[0] for one in addresses if not is_ip(one)]
    local = [one for one in addresses if is_ip(one) and is_loopback(one)]
    return dict.fromkeys(local, names[0]) if names else {}


class Link:
    """Channels to all coordinators. Close it, or use it as an async context manager."""

    def __init__(
        self,
        addresses: Sequence[str],
        tls: Tls | None,
        timeout_s: float,
        token_file: Path | None = None,
    ) -> None:
        if isinstance(addresses, str):
            raise Invalid(
                f"invalid addresses {addresses!r}: a sequence is expected",
                f"write [{addresses!r}] for one",
            )
        if not addresses or len(addresses) > MAX_ADDRESSES:
            raise Invalid(f"1 to {MAX_ADDRESSES} coordinator addresses are needed")
        self._addresses = list(addresses)
        self._tls = tls
        self._files = WatchedFiles(tls.files if tls is not None else ())
        self._token = None if token_file is None else WatchedSecret(token_file)
        self._timeout_s = timeout_s
        self.leaderless_s = LEADERLESS_S
        self._channels: dict[str, tuple[int, grpc.aio.Channel]] = {}
        self._replaced: list[grpc.aio.Channel] = []
        self._server_names = _names_on_loopback(self._addresses)

    async def close(self) -> None:
        for channel in (*self._replaced, *(one for _, one in self._channels.values())):
            await channel.close()
        self._channels.clear()
        self._replaced.clear()

    async def call(self, method: Method, request: Any, *, timeout_s: float | None = None) -> Any:
        """The answer of the first coordinator that can give one, each asked for `timeout_s`, else
        the client's bound.

        A leader that is named but does not answer has just died: all are asked again until another
        one leads, for `leaderless_s`.
        Raises: what that coordinator refused it with; Unavailable if none answers or leads.
        """
        until_s = time.monotonic() + self.leaderless_s
        while True:
            try:
                return await self._ask_all(method, request, timeout_s or self._timeout_s)
            except _LeaderGone as error:
                if time.monotonic() >= until_s:
                    raise error.last from error
            await asyncio.sleep(PAUSE_S)

    async def _ask_all(self, method: Method, request: Any, bound_s: float) -> Any:
        """Each coordinator once. Raises: also _LeaderGone."""
        named = ""
        tried: list[str] = []
        waiting = list(self._addresses)
        last: CleancutError | None = None
        first: CleancutError | None = None
        while waiting:
            address = waiting.pop(0)
            if address in tried:
                continue
            tried.append(address)
            try:
                bound = method(await self._channel(address))
                answer = await bound(request, timeout=bound_s, metadata=self._metadata(address))
            except grpc.aio.AioRpcError as error:
                last = from_call_error(error, address)
                if not isinstance(last, Unavailable):
                    raise _with_cause(last, first) from error
                first = first or last
                leader = last.context.get(LEADER_ADDRESS)
                if leader and len(tried) <= MAX_ADDRESSES:
                    named = str(leader)
                    waiting.insert(0, named)
                    self._expect_name(named, address)
            else:
                self._prefer(address)
                return answer
        assert last is not None
        raise _LeaderGone(last) if named else last

    async def watch(self, method: Method, request: Any) -> AsyncGenerator[Any, None]:
        """All messages of a server's stream, gone on with at another coordinator when one fails.

        The stream's own end is not the end: the caller leaves the loop when it has seen enough.
        Raises: Unavailable after RECONNECT_S without a message; what else the server refuses.
        """
        silent_since = time.monotonic()
        turn = 0
        while True:
            address = self._addresses[turn % len(self._addresses)]
            problem = Unavailable(f"coordinator at {address} ended the watch early")
            try:
                bound = method(await self._channel(address))
                stream = bound(request, wait_for_ready=False, metadata=self._metadata(address))
                async for message in stream:
                    silent_since = time.monotonic()
                    yield message
            except grpc.aio.AioRpcError as error:
                refusal = from_call_error(error, address)
                if not isinstance(refusal, Unavailable):
                    raise refusal from error
                problem = refusal
            if time.monotonic() - silent_since > RECONNECT_S:
                raise problem
            turn += 1
            await asyncio.sleep(PAUSE_S)

    def _expect_name(self, leader: str, named_by: str) -> None:
        """A leader named by a number, as pods are, has to have the certificate of the name under
        which it was asked for: of the Service that all coordinators are behind."""
        name = self._server_names.get(named_by, "")
        name = name or ("" if is_ip(named_by) else parse_address(named_by)[0])
        if name and leader not in self._addresses and is_ip(leader):
            self._server_names.setdefault(leader, name)

    async def _channel(self, address: str) -> grpc.aio.Channel:
        """One that was opened with the files as they are now; while they are being written, the one
        before."""
        version = self._files.look()
        known, channel = self._channels.get(address, (-1, None))
        if channel is not None and known == version:
            return channel
        try:
            opened = open_channel(address, self._tls, self._server_names.get(address, ""))
        except Denied:
            if channel is None:
                raise
            return channel
        if channel is not None:
            await self._replace(channel)
        self._channels[address] = version, opened
        return opened

    async def _replace(self, channel: grpc.aio.Channel) -> None:
        """Calls that are under way on it go on; only a few such channels are kept."""
        self._replaced.append(channel)
        if len(self._replaced) > MAX_REPLACED:
            await self._replaced.pop(0).close()

    def _metadata(self, address: str) -> tuple[tuple[str, str], ...]:
        """Who asks. Raises: Invalid (the line is open), Denied (the token's file)."""
        if self._token is None:
            return ()
        check_token_line(address, self._tls)
        token = self._token.get()
        if not token.isascii():  # which gRPC could not send
            raise Denied("the token file holds no token", "make one with `cleancut token new`")
        return (("authorization", f"Bearer {token}"),)

    def _prefer(self, address: str) -> None:
        """The next call begins where this one ended, so that writes find the leader at once."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.insert(0, address)
