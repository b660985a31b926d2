"""Generated classes of proto/cleancut/v1; written by tools/gen_proto.sh, never by hand."""
