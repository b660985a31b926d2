"""Rebalance: where replicas should lie, in which steps they move, and the state machine."""
