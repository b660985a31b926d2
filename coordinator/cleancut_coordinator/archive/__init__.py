"""Archive of logs on the cluster: which agent follows which shard, and marks, by the leader."""
