"""Launchers: etcd, Qdrant peers, agents and coordinators as processes of this machine."""
