"""Login at etcd by name and password: one token a member, replaced when it is no longer valid.

A token lives at one member, as long as it is used there; a change of rights or passwords ends it.
Source: etcd server/auth/simple_token.go, api/v3rpc/rpctypes/metadatafields.go.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc

from cleancut.core.primitives.errors import Invalid
from cleancut.etcd.channels import METADATA, Endpoint
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.runtime.watched_files import WatchedSecret

AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"
_HEADER = "token"
_OFF = "authentication is not enabled"


def login_of(user: str, password_file: Path | None) -> Login | None:
    """None, if neither is given. Raises: Invalid for one alone; Denied for an unreadable file."""
    if not user and password_file is None:
        return None
    if not user or password_file is None:
        raise Invalid(
            "etcd's user and password come together", "give --etcd-user and --etcd-password-file"
        )
    return Login(user, WatchedSecret(password_file))


class Login:
    """One user. The next login reads a changed password from its file."""

    def __init__(self, user: str, password: WatchedSecret) -> None:
        self.user = user
        self._password = password
        self._password.get()
        self._one_at_a_time = asyncio.Lock()

    async def metadata(self, endpoint: Endpoint, timeout_s: float) -> tuple[tuple[str, str], ...]:
        """What names the user at `endpoint`, after a login if there was none.

        Order: one login at a time, since each costs etcd much of a CPU (bcrypt).
        Raises: AioRpcError, TimeoutError; Denied, if the password cannot be read.
        """
        async with asyncio.timeout(timeout_s), self._one_at_a_time:
            if endpoint.token is None:
                endpoint.token = await self._token(endpoint, timeout_s)
                endpoint.logins += 1
        return ((_HEADER, endpoint.token),) if endpoint.token else ()

    async def _token(self, endpoint: Endpoint, timeout_s: float) -> str:
        call = endpoint.channel.unary_unary(
            AUTHENTICATE,
            request_serializer=pb.AuthenticateRequest.SerializeToString,
            response_deserializer=pb.AuthenticateResponse.FromString,
        )
        request = pb.AuthenticateRequest(name=self.user, password=self._password.get(now=True))
        try:
            answer = await call(request, timeout=timeout_s, metadata=METADATA)
        except grpc.aio.AioRpcError as error:
            if _OFF in (error.details() or ""):
                return ""  # as etcd's own client does: the member requires no authentication
            raise
        return str(answer.token)
