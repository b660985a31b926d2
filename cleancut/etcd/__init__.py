"""etcd: the coordination port on a real etcd, and the same in memory."""
