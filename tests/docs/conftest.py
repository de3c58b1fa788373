"""Makes `bench` importable, as beside: pages show its commands."""
import tests.bench.conftest  # noqa: F401
