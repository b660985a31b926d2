"""Operator: backups and restores as objects of Kubernetes, a client of the coordinators' API."""
