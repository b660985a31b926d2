"""Forwarding of calls from a standby to the leader, so that any coordinator can be asked.

The standby authenticates the caller, checks its role, and states both to the leader, signed with a
key whose public half is in its record in etcd, which coordinators alone may write. The leader's
certificate is in its record too, so no name or address has to be in it.
Source: decision D25
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from cleancut.core.auth.forwarded import SIGNATURE_BYTES, ForwardedCall, problem_of
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import CleancutError, Denied, Unavailable
from cleancut.core.primitives.ids import FencingToken
from cleancut.rpc.authentication import Caller
from cleancut.rpc.channel import OPTIONS
from cleancut.rpc.statuses import UNARY_LIMIT_S, from_call_error
from cleancut.runtime.addresses import is_loopback
from cleancut.runtime.tls import Tls
from cleancut.runtime.watched_files import WatchedFiles

_SETTLED = frozenset(
    {
        grpc.ChannelConnectivity.READY,
        grpc.ChannelConnectivity.TRANSIENT_FAILURE,
        grpc.ChannelConnectivity.SHUTDOWN,
    }
)
HEADER = "cleancut-forwarded-bin"
"""Metadata of a forwarded call: a signature, then the `ForwardedCall` that it is of."""

CONNECT_S = 3.0
"""How long a leader may take to accept a connection; then the caller gets its address instead."""


@dataclass(frozen=True, slots=True)
class LeaderRoute:
    """The leader as etcd has it. `certificate`: PEM of its API's; "" without TLS. `forwarded`: it
    takes forwarded calls, unlike one of an earlier version."""

    name: str
    address: str
    token: FencingToken
    certificate: str = ""
    forwarded: bool = True


class Members(Protocol):
    """The coordinators of a cluster."""

    async def leader(self) -> LeaderRoute | None:
        """Raises: Unavailable, TimedOut, Corrupt."""
        ...

    async def key_of(self, name: str) -> str:
        """Hex of the public key of a coordinator; "" if there is none of this name. Raises: as
        `leader`."""
        ...

    def token(self) -> FencingToken | None:
        """This coordinator's, if it leads."""
        ...


@dataclass(slots=True)
class Forwarding:
    """Both ends of it, at the coordinator `name`. `open`: every client that can connect has all
    roles. Order: closed last."""

    name: str
    members: Members
    tls: Tls | None = None
    open: bool = False
    connect_s: float = CONNECT_S
    _key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    _channel: tuple[object, grpc.aio.Channel] | None = None

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel[1].close()
            self._channel = None

    @property
    def public_key(self) -> str:
        """Hex."""
        return self._key.public_key().public_bytes_raw().hex()

    def certificate(self) -> str:
        """PEM of the API's certificate, as it is now; "" without TLS. Raises: Denied."""
        if self.tls is None:
            return ""
        return (self.tls.read(WatchedFiles(self.tls.files)).cert or b"").decode()

    async def forward(self, method: str, request: Any, caller: Caller, left_s: float | None) -> Any:
        """The leader's answer, as bytes; None if it cannot be asked from here, and the caller may
        try. `method`: its whole path. `left_s`: how long the caller waits.

        Raises: what the leader refuses it with; TimedOut.
        """
        assert caller.role is not None
        try:
            route = await self.members.leader()
            if route is None or not route.forwarded or route.name == self.name:
                return None
            if not self._is_private(route):
                return None
            call = ForwardedCall(
                forwarder=self.name,
                leader=route.token,
                method=method,
                who=caller.name,
                how=caller.how,
                role=caller.role,
            )
            channel = await self._channel_to(route)
        except CleancutError:
            return None
        if not await _is_connected(channel, min(left_s or self.connect_s, self.connect_s)):
            return None
        ask = channel.unary_unary(method, request_serializer=type(request).SerializeToString)
        stated = encode(call)
        header = (HEADER, self._key.sign(stated) + stated)
        try:
            bound_s = min(left_s or UNARY_LIMIT_S, UNARY_LIMIT_S)
            return await ask(request, timeout=bound_s, metadata=(header,))
        except grpc.aio.AioRpcError as error:
            refusal = from_call_error(error, route.address)
            if isinstance(refusal, Unavailable):
                return None
            raise refusal from error

    async def caller_of(self, header: bytes, method: str) -> Caller:
        """Who asks by a forwarded call.

        Raises: Denied, if no coordinator of this cluster forwarded it; Unavailable, if it came to
            another leader than it was meant for.
        """
        token = self.members.token()
        if token is None:
            raise Unavailable("this coordinator does not lead", "ask the leader")
        signature, stated = header[:SIGNATURE_BYTES], header[SIGNATURE_BYTES:]
        call = decode(ForwardedCall, stated, "a forwarded call's statement")
        key = await self.members.key_of(call.forwarder)
        if not key:
            raise Unavailable(f"the call was forwarded by {call.forwarder!r}, which is not there")
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, stated)
        except (InvalidSignature, ValueError) as error:
            raise Denied(
                f"a call claims to be forwarded by {call.forwarder!r}, and is not",
                "look for what sends it: see `peer` in the audit log",
            ) from error
        problem = problem_of(call, method, token)
        if problem:
            raise Unavailable(
                f"the call was forwarded by {call.forwarder!r}: {problem}", "repeat it"
            )
        return Caller(call.who, call.how, call.role, call.forwarder)

    def _is_private(self, route: LeaderRoute) -> bool:
        """What is stated may not be read by others, who could repeat it: unless all may do all."""
        return bool(route.certificate) or self.open or is_loopback(route.address)

    async def _channel_to(self, route: LeaderRoute) -> grpc.aio.Channel:
        """The one channel, opened again once the leader or a file has changed. Raises: Denied."""
        files = WatchedFiles(self.tls.files if self.tls is not None else ())
        pem = self.tls.read(files) if self.tls is not None and route.certificate else None
        wanted = (route.address, route.certificate, pem)
        if self._channel is not None and self._channel[0] == wanted:
            return self._channel[1]
        await self.close()
        if not route.certificate:
            channel = grpc.aio.insecure_channel(route.address, options=OPTIONS)
        else:
            roots = route.certificate.encode() + b"\n" + ((pem and pem.ca) or b"")
            pair = (pem.key, pem.cert) if pem is not None else (None, None)
            credentials = grpc.ssl_channel_credentials(roots, *pair)
            name = ("grpc.ssl_target_name_override", _name_in(route.certificate))
            channel = grpc.aio.secure_channel(route.address, credentials, options=(*OPTIONS, name))
        self._channel = wanted, channel
        return channel


async def _is_connected(channel: grpc.aio.Channel, bound_s: float) -> bool:
    """Whether the other side accepts calls. Limits: `bound_s`."""
    try:
        async with asyncio.timeout(bound_s):
            while (state := channel.get_state(try_to_connect=True)) not in _SETTLED:
                await channel.wait_for_state_change(state)
    except TimeoutError:
        return False
    return state is grpc.ChannelConnectivity.READY


def _name_in(certificate: str) -> str:
    """A name that a certificate is for. Raises: Denied."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise Denied("the leader's certificate has no alternative names") from error
    hosts = names.get_values_for_type(x509.DNSName)
    numbers = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    for name in (*hosts, *numbers):
        return name.replace("*", "coordinator", 1)
    raise Denied("the leader's certificate names no host")
