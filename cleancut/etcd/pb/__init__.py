"""Generated message classes of proto/etcd; written by tools/gen_proto.sh, never by hand."""
