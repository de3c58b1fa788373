"""Optimistic and pessimistic locking on SQLAlchemy."""
