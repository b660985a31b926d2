"""Resharding on one peer: its replicas counted by the old and the new hash ring."""
