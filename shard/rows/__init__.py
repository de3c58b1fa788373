"""Rows on their way: JSON, Python values, the values of a database, and queries of them."""
