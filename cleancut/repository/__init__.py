"""Repository of groups in a store: the catalog, garbage, packs, shards and the archive of logs."""
