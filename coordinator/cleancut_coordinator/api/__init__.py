"""API server: gRPC servicers, validation, and one module for each kind of request."""
