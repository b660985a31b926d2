"""Leader: election, the term of a leader, and its guarded writes to etcd."""
