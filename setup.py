"""What pyproject.toml cannot say: every .pyx becomes an extension."""
import os

from Cython.Build import cythonize
from setuptools import setup

# make compiles by itself, to see what Cython says; its editable install then has nothing left to compile.
SOURCES = [] if "HOTPATH_SKIP_EXTENSIONS" in os.environ else ["hotpath/**/*.pyx"]

setup(ext_modules=cythonize(SOURCES, nthreads=os.cpu_count(), compiler_directives={
    "language_level": 3,
    "nonecheck": True,
    "allow_none_for_extension_args": False,
    "autotestdict": False,      # an empty __test__ in each module, which no .pyi has
}))
