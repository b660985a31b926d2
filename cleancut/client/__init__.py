"""The Python client of a cluster's coordinators: `Client`, its values in `model`."""

from cleancut.client.api import Client

__all__ = ["Client"]
