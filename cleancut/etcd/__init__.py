"""etcd: the coordination port on a real etcd."""
