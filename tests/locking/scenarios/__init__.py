"""Tests of locking/scenarios."""
