"""Reshard on the cluster: points streamed, rings committed, replicas cleaned, step by step."""
