"""`hotpath-shard bench`: a cluster beside the bare driver."""
