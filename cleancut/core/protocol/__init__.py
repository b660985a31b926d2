"""Protocol between coordinator and agents: records and keys in etcd, events, votes, fences."""
