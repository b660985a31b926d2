"""Backup on the cluster: what the coordinator does for each step of its state machine."""
