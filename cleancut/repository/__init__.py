"""Repository of groups in a store: shards in as deduplicated blocks, tars out, garbage found."""
