"""Monitoring: loops that read etcd, the store and Qdrant for the metrics, on every coordinator."""
