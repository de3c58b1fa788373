"""Tests of crdt/gossip."""
