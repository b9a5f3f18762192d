"""What pyproject.toml cannot say yet: the compiled part, which the package can do without (scanner/compiled.py)."""

from setuptools import Extension, setup

SOURCES = ["scanner/formats/tar_quick.c", "scanner/tasks/outline.c"]

setup(ext_modules=[Extension("scanner._compiled", SOURCES, extra_compile_args=["-O3"], optional=True)])
