"""Engine of one replica: configuration, filters, queries and tars of a shard. No cluster."""
