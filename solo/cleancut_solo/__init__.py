"""Solo: coordinator, agent and an embedded etcd in one process, for a Qdrant of one node."""
