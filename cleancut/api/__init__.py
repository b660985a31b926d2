"""API values: what the public API returns and accepts, and their conversion to protobuf."""
