"""A sharded MySQL that grows with no downtime."""
