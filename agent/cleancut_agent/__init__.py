"""Agent: the sidecar of one Qdrant peer. It holds a session and follows the coordinator."""
