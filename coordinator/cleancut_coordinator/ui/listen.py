"""Listener of the status page: where it answers, and what it refuses to be open to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cleancut.core.primitives.errors import Invalid
from cleancut.rpc.audit import Audit, StreamAudit
from cleancut.rpc.authentication import Access
from cleancut.rpc.server import Listen
from cleancut.runtime.addresses import is_loopback, parse_address
from cleancut.runtime.tls import Tls

DEFAULT = "127.0.0.1:7402"


@dataclass(frozen=True, slots=True)
class PageListen:
    """Address and access of the page: TLS, tokens and roles are those of the API."""

    address: str
    access: Access
    tls: Tls | None = None
    audit: Audit | None = None

    @property
    def loopback(self) -> bool:
        return is_loopback(self.address)

    @property
    def lines(self) -> Audit:
        """Where refusals are recorded."""
        return self.audit or StreamAudit()


def open_page(address: str, api: Listen) -> PageListen:
    """Raises: Invalid, for an address on a network without TLS, or where every caller is an
    admin."""
    parse_address(address)
    access = api.access or Access()
    local = is_loopback(address)
    if not local and (api.tls is None or access.open):
        missing = "TLS" if api.tls is None else "tokens or roles"
        raise Invalid(
            f"the status page at {address} would be open to the network without {missing}",
            "set --grpc-cert, --grpc-key and --tokens-file, or listen on 127.0.0.1",
        )
    access = replace(access, plaintext=api.tls is None, network=not local)
    return PageListen(address, access, api.tls, api.audit)
