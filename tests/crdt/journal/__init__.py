"""Tests of crdt/journal, and the disks they stand on."""
