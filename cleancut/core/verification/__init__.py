"""Verification rules: which canaries to record, and how a drill compares their answers."""
