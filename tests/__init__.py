"""Tests. Shared tools are imported as `tests.waiting`; a folder mirrors each package."""
