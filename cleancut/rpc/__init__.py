"""gRPC: servers, channels, authentication, audit, and errors as statuses."""
