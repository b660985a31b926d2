"""Reshard: the steps from one number of shards to another, and the state machine."""
