"""A row of the table that cannot be is an error that names the row and its file."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from generator import checks, table

ABS = "c = 'int mlx_abs(mlx_array *res, const mlx_array a, const mlx_stream s)'"
ALL = "c = 'int mlx_all(mlx_array *res, const mlx_array a, bool keepdims, const mlx_stream s)'"
TAKE = "c = 'int mlx_take(mlx_array *res, const mlx_array a, int axis, const mlx_stream s)'"
PAIR = "c = 'int mlx_pair(mlx_array *res, mlx_vector_array b, const mlx_array a, const mlx_stream s)'"
SOME = ALL.replace("all", "all_axis").replace("bool", "int axis, int n, bool")
CONV = "c = 'int mlx_conv(mlx_array *res, const mlx_array a, int stride_0, int stride_1, const mlx_stream s)'"

ERRORS = {
    # the row itself
    "no prototype": (["c = 'int mlx_abs'"], r"int mlx_abs: is no prototype"),
    "no parameter": (["c = 'int mlx_abs(mlx_array *)'"], r"mlx_abs: 'mlx_array \*' is no parameter"),
    "unknown key": ([f"{ABS}\nnulable = ['a']"], r"mlx_abs.*: has no place for \['nulable'\]"),
    "unknown type": (["c = 'int mlx_abs(mlx_array *res, const mlx_arry a)'"], r"mlx_abs: a is of an unknown type"),
    "unknown result": (["c = 'mlx_arry mlx_abs(const mlx_array a)'"], r"mlx_abs: the result is of an unknown type"),
    "nullable": ([f"{ABS}\nnullable = ['b']"], r"mlx_abs: nullable: C has no parameter \['b'\]"),
    "default": ([f"{ABS}\ndefaults = {{ b = '1' }}"], r"mlx_abs: defaults: C has no parameter \['b'\]"),
    "no description": ([f"{ABS}\ndoc = ' '"], r"mlx_abs: doc: says nothing"),
    "twice": ([ABS, ABS], r"mlx_abs: stands in the table 2 times"),
    # the expression
    "unknown name": ([f"{ABS}\ncpp = 'mx::abs(b, s)'"], r"mlx_abs: cpp: \['b'\] are no parameters"),
    "unknown names": ([f"{ABS}\ncpp = 'f(x.b, \"c\", d ? e : a)'"], r"mlx_abs: cpp: \['d', 'e', 'x'\] are no"),
    "unknown form": ([f"{ABS}\ncpp = '@gone'"], r"mlx_abs: cpp: no form is called @gone"),
    # the signature
    "no signature": ([f"{ABS}\ncore = 'abs(a'"], r"mlx_abs: core: abs\(a is no signature"),
    "too many": ([f"{ABS}\ncore = 'abs(a, b, stream=None)'"], r"mlx_abs: core: mlx_abs has no parameter for \['b'\]"),
    "too few": ([f"{TAKE}\ncore = 'take(a, stream=None)'"], r"mlx_take: core: nothing stands for \['axis'\]"),
    "no stream": ([f"{ABS}\ncore = 'abs(a)'"], r"mlx_abs: core: nothing stands for \['stream'\]"),
    "no variant": ([f"{ALL}\ncore = 'all(a, axis=None, keepdims=False, stream=None)'"], r"no parameter for \['axis'\]"),
    "bad variant": (
        [f"{ALL}\ncore = 'all(a, axis=None, keepdims=False, stream=None)'", SOME],
        r"mlx_all: core: nothing stands for \['n'\] of mlx_all_axis",
    ),
    "numbered": ([f"{CONV}\ncore = 'conv(a, stream=None)'"], r"mlx_conv: core: nothing stands for \['stride'\]"),
    "mark": ([f"{ABS}\ncore = 'abs(a: likely, stream=None)'"], r"mlx_abs: core: unknown mark \['likely'\]"),
    "result": ([f"{ABS}\ncore = 'abs(a, stream=None) -> set'"], r"mlx_abs: core: unknown result set"),
    "kind": ([f"{PAIR}\ncore = 'pair(b, a, stream=None)'"], r"mlx_pair: core: nothing takes .* type mlx_vector_array"),
    "same name": (
        [f"{ABS}\ncore = 'abs(a, stream=None)'", f"{ABS.replace('abs', 'fabs')}\ncore = 'abs(a, stream=None)'"],
        r"mlx_abs: core: another row is ops.abs too",
    ),
}


def load(folder, rows):
    types = (Path(__file__).parent / "golden/array.toml").read_text()
    (folder / "array.toml").write_text(types)
    described = [row if "doc =" in row else f"{row}\ndoc = 'A row.'" for row in rows]
    (folder / "ops_1_first.toml").write_text("".join(f"[[function]]\n{row}\n" for row in described))
    api = table.load(folder, ("array", "ops"))
    checks.require_consistent(api)
    return api


@pytest.mark.parametrize("rows", [[ABS], [ALL], [TAKE], [CONV], [f"{CONV}\ncore = 'conv(a, stride=1, stream=None)'"]])
def test_rows_that_are_right(rows, tmp_path):
    assert len(table.functions(load(tmp_path, rows))) == 11


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, tmp_path):
    rows, message = ERRORS[name]
    with pytest.raises(table.TableError, match=f"^ops_1_first.toml: .*{message}"):
        load(tmp_path, rows)


@pytest.mark.parametrize("row", ["c = 'typedef 3;'\ndoc = ''", "c = 'typedef int number'"])
def test_types_are_looked_at_too(row, tmp_path):
    (tmp_path / "half.toml").write_text(f"[[type]]\n{row}\n")
    with pytest.raises(table.TableError, match=r"^half.toml: typedef"):
        table.load(tmp_path, ("half",))


def test_a_header_without_a_table(tmp_path):
    with pytest.raises(SystemExit, match=r"no table for half.h"):
        table.load(tmp_path, ("half",))
