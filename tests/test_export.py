"""Exported functions compute the same when they are imported, here and in another process."""

import gc
import subprocess
import sys

import pytest
from helpers import error_of, needs_own_mlxc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlxffi as m
from mlxffi import Array, export_function, exporter, import_function, memory

A = [[1.0, 2.0], [3.0, 4.0]]


def scaled(inputs, shift=None):
    total = m.multiply(inputs[0], 2.0)
    return [total if shift is None else m.add(total, shift), m.sum(inputs[0])]


def lists(arrays):
    return [array.tolist() for array in arrays]


def test_a_function_comes_back(tmp_path):
    export_function(tmp_path / "f.mlxfn", scaled, [A])
    assert lists(import_function(tmp_path / "f.mlxfn")([A])) == [[[2.0, 4.0], [6.0, 8.0]], 10.0]


def test_named_arrays_come_by_name(tmp_path):
    export_function(tmp_path / "f.mlxfn", scaled, [A], {"shift": 1.0})
    assert lists(import_function(tmp_path / "f.mlxfn")([A], shift=1.0))[0] == [[3.0, 5.0], [7.0, 9.0]]


def test_another_process_runs_it(tmp_path):
    weight = m.Array([[1.0, 0.0], [0.0, -1.0]])
    export_function(tmp_path / "f.mlxfn", lambda inputs: [m.matmul(inputs[0], weight)], [A])
    program = f"import mlxffi; print(mlxffi.import_function({str(tmp_path / 'f.mlxfn')!r})([{A}])[0].tolist())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout.strip(), result.stderr) == ("[[1.0, -2.0], [3.0, -4.0]]", "")


def test_mlx_runs_it(tmp_path):
    mx = pytest.importorskip("mlx.core")
    export_function(tmp_path / "f.mlxfn", scaled, [A])
    assert mx.import_function(str(tmp_path / "f.mlxfn"))(mx.array(A))[1].item() == 10.0


def test_several_traces_are_chosen_by_shape_and_dtype(tmp_path):
    with exporter(tmp_path / "f.mlxfn", lambda inputs: [m.sum(inputs[0])]) as export:
        export([A])
        export([[1.0, 2.0]])
        export([[1, 2]])
    function = import_function(tmp_path / "f.mlxfn")
    assert lists(function([A]) + function([[4.0, 5.0]]) + function([[4, 5]])) == [10.0, 9.0, 9]
    with pytest.raises(ValueError, match="No imported function found which matches"):
        function([[[1.0]]])


def test_traces_with_named_arrays(tmp_path):
    with exporter(tmp_path / "f.mlxfn", scaled) as export:
        export([A])
        export([A], shift=1.0)
    function = import_function(tmp_path / "f.mlxfn")
    assert [function([A])[0].tolist()[0], function([A], shift=1.0)[0].tolist()[0]] == [[2.0, 4.0], [3.0, 5.0]]


def test_a_shapeless_trace_serves_all_sizes(tmp_path):
    export_function(tmp_path / "f.mlxfn", lambda inputs: [m.exp(inputs[0])], [[0.0]], shapeless=True)
    assert import_function(tmp_path / "f.mlxfn")([[0.0, 0.0, 0.0]])[0].tolist() == [1.0, 1.0, 1.0]


def test_an_imported_function_is_differentiable(tmp_path):
    export_function(tmp_path / "f.mlxfn", lambda inputs: [m.sum(m.square(inputs[0]))], [[1.0, 2.0]])
    function = import_function(tmp_path / "f.mlxfn")
    _, (gradient,) = m.value_and_grad(lambda inputs: function(inputs))(m.Array([3.0, -1.0]))
    assert gradient.tolist() == [6.0, -2.0]


# --- errors ---


@pytest.mark.parametrize("error", [KeyError("%s"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_the_function_raises_arrives_as_the_same_object(error, tmp_path):
    def fail(inputs):
        raise error

    assert error_of(lambda: export_function(tmp_path / "f.mlxfn", fail, [A]), BaseException) is error
    with exporter(tmp_path / "f.mlxfn", fail) as export:
        assert error_of(lambda: export([A]), BaseException) is error


@pytest.mark.parametrize("result", [None, [], [1.0]])
def test_a_result_that_is_no_list_of_arrays_is_refused(result, tmp_path):
    with pytest.raises((TypeError, ValueError), match="the function must return"):
        export_function(tmp_path / "f.mlxfn", lambda inputs: result, [A])


@pytest.mark.parametrize("wrap", [m.checkpoint, lambda f: m.custom_vjp(f, lambda p, c, o: [c[0]])])
def test_a_function_with_rules_is_written_as_what_it_computes(tmp_path, wrap):
    function = wrap(lambda inputs: [m.exp(inputs[0])])
    export_function(tmp_path / "f.mlxfn", function, [A])
    assert lists(import_function(tmp_path / "f.mlxfn")([A])) == lists(function([A]))


def test_a_trace_for_the_same_inputs_is_refused(tmp_path):
    with exporter(tmp_path / "f.mlxfn", scaled) as export:
        export([A])
        with pytest.raises(m.Error, match="a function twice with the same signature"):
            export([A])


def test_a_closed_exporter_says_so(tmp_path):
    with exporter(tmp_path / "f.mlxfn", scaled) as export:
        export([A])
    with pytest.raises(ValueError, match="this exporter has been closed"):
        export([A])


@pytest.mark.leaks  # the function refers to its exporter
def test_a_function_may_close_its_own_exporter(tmp_path):
    def fn(inputs):
        export.close()
        return scaled(inputs)

    export = exporter(tmp_path / "f.mlxfn", fn)
    export([A])
    with pytest.raises(ValueError, match="this exporter has been closed"):
        export([A])


@pytest.mark.parametrize("content", [None, b"", b"junk" * 50])
def test_a_file_that_is_none_of_ours_is_an_error(content, tmp_path):
    if content is not None:
        (tmp_path / "f.mlxfn").write_bytes(content)
    assert isinstance(error_of(lambda: import_function(tmp_path / "f.mlxfn")), RuntimeError)


def test_a_folder_is_refused(tmp_path):
    for call in (lambda: import_function(tmp_path), lambda: export_function(tmp_path, scaled, [A])):
        with pytest.raises(RuntimeError, match="expected a file, got the directory"):
            call()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    for call in (export_function, lambda path, fn, _: exporter(path, fn)):
        with pytest.raises(RuntimeError, match=r"Failed to open .*nowhere"):
            call(tmp_path / "nowhere" / "f.mlxfn", scaled, [A])


@pytest.mark.leaks
def test_an_exporter_that_its_function_refers_to_is_collected(tmp_path):
    def make():
        made = []
        made.append(exporter(tmp_path / "f.mlxfn", lambda inputs: [m.exp(inputs[0])] if made else []))
        made[0]([A])

    gc.collect()
    before = memory.live_handles()
    make()
    gc.collect()
    assert memory.live_handles() == before


# --- files that somebody has changed ---

# What a file of ours has behind what MLX wrote.
SEAL = 24


def whole(path):
    """A file with a function of several kinds of operations, and what that gives for A."""

    def function(inputs):
        quotient, remainder = m.divmod(inputs[0], Array([1.5, 2.0]))
        return [m.sum_axis(quotient, 0) + remainder, m.take(m.exp(quotient), m.argmax(remainder))]

    export_function(path, function, [A])
    return path.read_bytes(), lists(function([Array(A)]))


@needs_own_mlxc
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_is_refused_by_its_name(tmp_path, data):
    content, expected = whole(tmp_path / "f.mlxfn")
    changed = bytearray(content[: data.draw(st.integers(0, len(content)))])
    bytes_at = st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4)
    for place, byte in data.draw(bytes_at).items():
        changed[place : place + 1] = [byte] if place < len(changed) else []
    path = tmp_path / "changed.mlxfn"
    path.write_bytes(changed)
    if bytes(changed) in (content, content[:-SEAL]):
        assert lists(import_function(path)([A])) == expected
    else:
        assert str(path) in str(error_of(lambda: import_function(path), RuntimeError))


@needs_own_mlxc
def test_a_file_of_mlx_that_is_cut_is_refused(tmp_path):
    content, expected = whole(tmp_path / "f.mlxfn")
    path = tmp_path / "cut.mlxfn"
    for size in range(len(content) - SEAL):
        path.write_bytes(content[:size])
        assert "cut.mlxfn" in str(error_of(lambda: import_function(path), RuntimeError))
    path.write_bytes(content[:-SEAL])
    assert lists(import_function(path)([A])) == expected


LENGTH = (2**40).to_bytes(8, "little")


@needs_own_mlxc
@pytest.mark.parametrize(
    ("found", "put", "message"),
    [
        (b"DivMod", b"DivMob", "an operation of the name DivMob"),
        (b"\6\0\0\0\0\0\0\0DivMod", LENGTH + b"DivMod", "a length of 1099511627776"),
        (b"\6\0\0\0\0\0\0\0DivMod", b"\0" * 8 + b"DivMod", "."),
        (b"\2\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0", LENGTH + b"\2\0\0\0\2\0\0\0", "a length of 1099511627776"),
        (b"\2\0\0\0\2\0\0\0", b"\2\0\0\0\xff\xff\xff\xff", "an axis of size -1"),
        (b"\n\0\0\0\4", b"\x0e\0\0\0\4", "a dtype of number 14 and 4 bytes"),
        (b"\n\0\0\0\4", b"\n\0\0\0\5", "a dtype of number 10 and 5 bytes"),
        (b"\1\0\0\0\0", b"\2\0\0\0\0", "it ends before"),
        (b"\1\0\0\0\0", b"\0\0\0\0\0", "more bytes than 0 functions take"),
    ],
)
def test_a_file_of_mlx_that_does_not_hold_together_is_refused(tmp_path, found, put, message):
    content, _ = whole(tmp_path / "f.mlxfn")
    assert found in content
    (tmp_path / "f.mlxfn").write_bytes(content[:-SEAL].replace(found, put, 1))
    with pytest.raises(RuntimeError, match=rf"the file is damaged: {message}.*f\.mlxfn"):
        import_function(tmp_path / "f.mlxfn")
