"""Rebalance on the cluster: the layout read, shard transfers started and watched."""
