"""Python client of the API: `Client`, or `BlockingClient` for programs without an event loop."""

from cleancut.client.blocking import BlockingClient
from cleancut.client.client import Client

__all__ = ["BlockingClient", "Client"]
