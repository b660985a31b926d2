"""Cluster side of a peer: reads and writes over replicas, transfers, recovery, telemetry."""
