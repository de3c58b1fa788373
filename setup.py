"""What pyproject.toml cannot say: every .pyx becomes an extension."""
import os

import greenlet
from Cython.Build import cythonize
from setuptools import Extension, setup

# make compiles by itself, to see what Cython says; its editable install then has nothing left to compile.
# greenlet's header lies in its package.
MODULES = Extension("*", ["hotpath/**/*.pyx"], include_dirs=[os.path.dirname(greenlet.__file__)])
SOURCES = [] if "HOTPATH_SKIP_EXTENSIONS" in os.environ else [MODULES]

setup(ext_modules=cythonize(SOURCES, nthreads=os.cpu_count(), compiler_directives={
    "language_level": 3,
    "nonecheck": True,
    "allow_none_for_extension_args": False,
    "autotestdict": False,      # an empty __test__ in each module, which no .pyi has
}))
