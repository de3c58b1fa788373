"""Makes `bench` importable the way `python -P bench` does: as a package, with no folder added to sys.path."""
import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("bench_launcher", Path(__file__).parents[2] / "bench" / "__main__.py")
assert spec is not None
assert spec.loader is not None
launcher = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launcher)
launcher.load_package()
