"""What pyproject.toml has no settled place for: the extension modules and the tag of the wheel.

Each module is built by `build_ffi.BuildExt`, which knows what libmlxc and the cffi modules need.
"""

import sysconfig

from setuptools import Extension, setup

# One wheel for every Python that has a GIL; the limited API does not cover the others.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")

MODULES = ("_dynamic", "_mlxc", "_graph", "_native")

setup(
    ext_modules=[Extension(f"mlxffi.{name}", [], py_limited_api=LIMITED) for name in MODULES],
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED else {},
)
