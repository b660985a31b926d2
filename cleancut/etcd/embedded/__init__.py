"""Embedded etcd: the coordination port in this process, with a journal on disk instead of etcd."""
