"""A folder that stands for site-packages, for programs that run in a process of their own.

It is filled with links to what the tests run in, so that a test can leave one thing out or put another in its place.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MLX = "0.32.4"


def home(module):
    """The folder on the path in which a module lies."""
    spec = importlib.util.find_spec(module)
    places = spec.submodule_search_locations
    return Path(places[0] if places else spec.origin).parent


class Site:
    """`Site(folder)` has everything; `remove`, `wheel` and plain files make another environment of it."""

    def __init__(self, folder):
        self.folder = folder
        self.environ = {}
        folder.mkdir(parents=True)
        for module in ("mlx", "mlxffi", "scipy_openblas32"):
            (folder / module).symlink_to(home(module) / module)
        if not (folder / "mlxffi/include").exists():  # beside the package in a checkout, in it in a wheel
            (folder / "include").symlink_to(home("mlxffi") / "include")
        extension = Path(importlib.util.find_spec("_cffi_backend").origin)
        (folder / extension.name).symlink_to(extension)
        self.wheel("mlx-cpu", MLX)

    def wheel(self, name, version):
        """Record a wheel as installed."""
        record = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def remove(self, name):
        """Remove a link, or the record of a wheel."""
        path = next(self.folder.glob(name))
        path.unlink() if path.is_symlink() else shutil.rmtree(path)

    def copy(self, module, *ignored):
        """Put a copy in the place of a link, so that a test may change it."""
        self.remove(module)
        left_out = shutil.ignore_patterns("__pycache__", *ignored)
        return Path(shutil.copytree(home(module) / module, self.folder / module, ignore=left_out))

    def move_backend(self):
        """Make our libraries' rpaths lead nowhere, as where backend and OpenBLAS went elsewhere after the build."""
        rpath = rb"[^\0]*/(mlx|scipy_openblas32)/lib(?=[\0:])"
        for library in (self.copy("mlxffi") / "lib").glob("*.so"):
            text, count = re.subn(rpath, lambda found: b"/" + b"x" * (len(found[0]) - 1), library.read_bytes())
            assert count
            library.write_bytes(text)

    def libmlx(self, write):
        """Put in the place of MLX a folder with the libmlx that `write(path)` writes."""
        self.remove("mlx")
        path = self.folder / "mlx/lib/libmlx.so"
        path.parent.mkdir(parents=True)
        write(path)

    def python(self, *arguments):
        """Run a Python that sees the standard library and this folder only."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLXFFI", "LD_"))}
        environ = {**clean, "PYTHONPATH": str(self.folder), **self.environ}
        command, place = [sys.executable, "-S", *map(str, arguments)], self.folder.parent
        return subprocess.run(command, env=environ, cwd=place, capture_output=True, text=True, timeout=120, check=False)

    def output(self, code):
        """What a program prints that must succeed."""
        result = self.python("-c", code)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def refusal(self, code="import mlxffi"):
        """The message of the ImportError with which a program must end."""
        result = self.python("-c", code)
        assert result.returncode == 1, result.stdout + result.stderr
        kind, _, message = result.stderr.strip().splitlines()[-1].partition(": ")
        assert kind == "ImportError", result.stderr
        return message
