"""scripts/follow.py: what another version of MLX adds, drops and changes, and which rows of the table that concerns."""

import subprocess
import sys
import zipfile
from pathlib import Path

import previous_release
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/follow.py"
OPS = """
namespace mlx::core {{
/** MLX_API array in_a_comment(int n); */
MLX_API array exp(const array& a{also}, StreamOrDevice s = {{}});
{more}
}}
"""
NEW = "MLX_API std::vector<array> dawn(const array& a,\n  const std::vector<int>& axes, bool keep = false, Odd& o);"
STUB = "def exp(a: array{also}, /) -> array: ...\nclass array:\n    def {method}(self) -> int: ...\n"


@pytest.fixture
def wheels(tmp_path):
    """A folder with the wheels of the table's version, and of one that has more."""
    write(tmp_path, "0.32.4", also="", more="", method="kept")
    write(tmp_path, "9.9.9", also=", float x = 1", more=NEW, method="other", extra="struct Added {};")
    return tmp_path


def write(folder, version, also, more, method, extra=""):
    headers = {"ops.h": OPS.format(also=also, more=more), "array.h": f"namespace mlx::core {{ {extra} }}"}
    with zipfile.ZipFile(folder / f"mlx_cpu-{version}-py3-none-any.whl", "w") as archive:
        for name, text in headers.items():
            archive.writestr(f"mlx/include/mlx/{name}", text)
    with zipfile.ZipFile(folder / f"mlx-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("mlx/core/__init__.pyi", STUB.format(also=also and ", x: float", method=method))


def follow(version, wheels):
    command = [sys.executable, SCRIPT, version, "--wheels", wheels]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.returncode, result.stdout


def test_the_same_version_has_no_differences(wheels):
    assert follow("0.32.4", wheels) == (0, "MLX 0.32.4 beside 0.32.4, which the table is for: 0 differences\n")


def test_each_difference_comes_with_its_rows(wheels):
    status, printed = follow("9.9.9", wheels)
    assert status == 1
    draft = "mlx_vector_array *res, const mlx_array a, const int *axes, size_t axes_num, bool keep, Odd& o"
    assert printed == f"""array.h: changed besides its functions
ops.h: dawn: new
      + {" ".join(NEW.removeprefix("MLX_API ").removesuffix(";").split())}
      row: c = 'int mlx_dawn({draft})'
ops.h: exp: changed
      - array exp(const array& a, StreamOrDevice s = {{}})
      + array exp(const array& a, float x = 1, StreamOrDevice s = {{}})
      rows: mlx_exp in ops_2_d_to_l.toml
mlx.core: array.kept: gone
      - kept(self) -> int
mlx.core: array.other: new
      + other(self) -> int
mlx.core: exp: changed
      - exp(a: array, /) -> array
      + exp(a: array, x: float, /) -> array
      rows: mlx_exp in ops_2_d_to_l.toml
MLX 9.9.9 beside 0.32.4, which the table is for: 6 differences
"""


def test_the_tests_that_do_not_hold_with_the_previous_release_are_there():
    """Their functions: the names of cases are those of the tables that they come from."""
    for name in previous_release.DIFFER:
        path, _, test = name.partition("::")
        function = test.partition("[")[0]
        assert f"\ndef {function}(" in (Path(__file__).parent / path).read_text(), name
