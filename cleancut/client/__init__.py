"""The Python client of a cluster's coordinators: `Client`, or `BlockingClient` for programs without
an event loop; its values in `model`."""

from cleancut.client.api import Client
from cleancut.client.blocking import BlockingClient

__all__ = ["BlockingClient", "Client"]
