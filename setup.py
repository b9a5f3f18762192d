"""What pyproject.toml cannot say yet: the compiled part, which the package can do without (scanner/compiled.py)."""

from setuptools import Extension, setup

SOURCES = ["scanner/quick.c", "scanner/formats/tar_quick.c", "scanner/tasks/outline.c", "scanner/tasks/gist.c"]
HEADERS = ["scanner/numbers.h", "scanner/formats/tar_quick.h", "scanner/tasks/outline.h"]

setup(
    ext_modules=[
        Extension("scanner._compiled", SOURCES, depends=HEADERS, extra_compile_args=["-O3"], optional=True),
    ]
)
