"""What `hotpath-shard` shows and does at a terminal."""
