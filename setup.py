"""What pyproject.toml has no settled place for: the extension modules and the tag of the wheel.

Each module is built by `build_ffi.BuildExt`, which knows what libmlxc and the cffi modules need.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[Extension(f"mlxffi.{name}", [], py_limited_api=True) for name in ("_mlxc", "_graph", "_native")],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
