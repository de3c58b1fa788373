"""What pyproject.toml cannot say: every .pyx becomes an extension."""
from Cython.Build import cythonize
from setuptools import setup

setup(ext_modules=cythonize("hotpath/**/*.pyx", nthreads=2, compiler_directives={
    "language_level": 3,
    "nonecheck": True,
    "allow_none_for_extension_args": False,
}))
