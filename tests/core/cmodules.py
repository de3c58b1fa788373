"""A Cython module of the tests, compiled against our .pxd files as another project would."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import greenlet

ROOT = Path(__file__).parents[2]

SETUP = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
name, root, greenlet = (sys.argv.pop() for _ in range(3))
module = Extension(name, [f"{name}.pyx"], include_dirs=[greenlet])
setup(name=name, ext_modules=cythonize([module], include_path=[root]))
"""


def compiled(source: Path, folder: Path) -> ModuleType:
    """The module in `source`, built in `folder`."""
    name = source.stem
    (folder / source.name).write_bytes(source.read_bytes())
    said = [os.path.dirname(greenlet.__file__), str(ROOT), name]
    done = subprocess.run([sys.executable, "-P", "-c", SETUP, "build_ext", "--inplace", *said],
                          cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built, = folder.glob(f"{name}*.so")
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
