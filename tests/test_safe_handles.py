"""No handle changes under somebody who uses it.

Python that runs in the middle of a call, and other threads, may do to an array what they like, and the call ends with a
result or an exception.
"""

import contextlib
import copy
import gc
import pickle
import sys
import threading

import numpy as np
import pytest
from helpers import CPYTHON, together

import mlxffi as m
from mlxffi import Array, fast, fft, io, linalg, memory

ROWS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


def assigned(array):
    array[...] = 9.0


def closed(array):
    array.close()


def made_anew(array):
    array.__init__(3.0)


CHANGES = [assigned, closed, made_anew]


class Meddler:
    """A number that changes arrays when Python asks for its value."""

    def __init__(self, value, change, *arrays):
        self.value, self.change, self.arrays = value, change, arrays

    def meddle(self):
        for array in self.arrays:
            self.change(array)
        return self.value

    def __index__(self):
        return int(self.meddle())

    def __float__(self):
        return float(self.meddle())

    def __bool__(self):
        return bool(self.meddle())

    def __len__(self):
        return int(self.meddle())


# A sample of each kind of call. `a` and `b` are arrays; meddle(x) is the number x, and changes both when it is read.
CALLS = {
    "a part": lambda a, b, meddle: a[meddle(1)],
    "a slice": lambda a, b, meddle: a[meddle(0) : meddle(2), :: meddle(2)],
    "parts by a list": lambda a, b, meddle: a[[meddle(0), meddle(1)]],
    "parts by arrays": lambda a, b, meddle: a[Array([1, 0]), meddle(2)],
    "assignment": lambda a, b, meddle: a.__setitem__(meddle(1), b[0]),
    "assignment to a slice": lambda a, b, meddle: a.__setitem__(slice(meddle(0), 1), meddle(2.0)),
    "assignment by a mask": lambda a, b, meddle: a.__setitem__((a > 2.0, meddle(0))[:1], meddle(1.0)),
    "reduction": lambda a, b, meddle: m.sum_axis(a, meddle(0), meddle(1)),
    "reduction over axes": lambda a, b, meddle: m.sum_axes(a, [meddle(0), meddle(1)]),
    "new shape": lambda a, b, meddle: m.reshape(a, [meddle(4), meddle(2)]),
    "transposition": lambda a, b, meddle: m.transpose_axes(a, [meddle(1), meddle(0)]),
    "slicing": lambda a, b, meddle: m.slice(a, [0, meddle(0)], [1, meddle(3)], [1, 1]),
    "broadcast": lambda a, b, meddle: m.broadcast_to(a, [meddle(3), 2, 4]),
    "selection": lambda a, b, meddle: m.take_axis(a, Array([0]), meddle(0)),
    "scatter": lambda a, b, meddle: m.scatter(a, [Array([0])], m.reshape(b[:1], [1, 1, 4]), [meddle(0)]),
    "splitting": lambda a, b, meddle: m.split(a, meddle(2), meddle(0)),
    "joining": lambda a, b, meddle: m.concatenate_axis([a, b], meddle(0)),
    "stacking": lambda a, b, meddle: m.stack_axis([a, b], meddle(0)),
    "two arrays": lambda a, b, meddle: m.isclose(a, b, meddle(0.5), meddle(0.5), meddle(1)),
    "sum and number": lambda a, b, meddle: a + meddle(1.0),
    "padding": lambda a, b, meddle: m.pad(a, [0], [meddle(1)], [meddle(1)], Array(0.0), "constant"),
    "rounding": lambda a, b, meddle: round(a, meddle(1)),
    "convolution": lambda a, b, meddle: m.conv1d(a[None], b[:, :, None], meddle(1)),
    "Fourier": lambda a, b, meddle: fft.fft(a, meddle(4), meddle(-1)),
    "norm": lambda a, b, meddle: linalg.norm(a, meddle(2.0), [meddle(0)], meddle(1)),
    "layer": lambda a, b, meddle: fast.rms_norm(a, None, meddle(1e-5)),
    "rotation": lambda a, b, meddle: fast.rope(a[None], meddle(4), meddle(0), meddle(1e4), meddle(1.0), meddle(0)),
    "loss": lambda a, b, meddle: m.cross_entropy(a, Array([0, 1]), label_smoothing=meddle(0.1)),
    "divergence": lambda a, b, meddle: m.kl_div_loss(a, b, temperature=meddle(2.0), teacher_gradient=meddle(1)),
    "random": lambda a, b, meddle: m.random.normal([meddle(2)], "float32", meddle(0.0), meddle(1.0)),
    "value of a list": lambda a, b, meddle: Array([a[0], b[0], Meddler(1.0, meddle.change, a, b)]),
    "vmap": lambda a, b, meddle: m.vmap(lambda x: [x[0] + x[1]], meddle(0), meddle(0))([a, b]),
    "value_and_grad": lambda a, b, meddle: m.value_and_grad(lambda x: [m.sum(x[0] * x[1])], meddle(0))(a, b),
    "saving": lambda a, b, meddle: m.lib.mlx_array_size(m.ffi.new("mlx_array *", [m.ffi.cast("void *", a._h)])[0]),
}


@pytest.fixture(params=CHANGES, ids=lambda change: change.__name__)
def change(request):
    return request.param


def outcome(call):
    """Run a call that may fail, but not otherwise than by an exception; then everything goes on."""
    try:
        found = call()
        m.eval(*[array for array in (found if isinstance(found, list) else [found]) if isinstance(array, Array)])
    except (m.Error, TypeError, ValueError, AttributeError) as error:
        error.__traceback__ = None
    assert (Array(ROWS) + 1).tolist()[1][3] == 9.0


@pytest.mark.parametrize("name", CALLS)
def test_a_number_may_change_the_arrays_of_its_call(name, change):
    a, b = Array(ROWS), Array(ROWS)

    def meddle(value):
        return Meddler(value, change, a, b)

    meddle.change = change
    outcome(lambda: CALLS[name](a, b, meddle))


def rule_that(change, a, b, result):
    def rule(*arguments):
        for array in [a, b, *(array for part in arguments for array in part if isinstance(array, Array))]:
            change(array)
        return result(*arguments)

    return rule


def ones(arrays):
    return [m.ones([2, 4], "float32")]


TRANSFORMS = {
    "vjp": lambda fn, a, b: m.vjp(fn, [a, b], [a]),
    "jvp": lambda fn, a, b: m.jvp(fn, [a, b], [a, b]),
    "value_and_grad": lambda fn, a, b: m.value_and_grad(lambda x: [m.sum(fn(x)[0])], 0, 1)(a, b),
    "checkpoint": lambda fn, a, b: m.vjp(m.checkpoint(fn), [a, b], [a]),
    "vmap": lambda fn, a, b: m.vmap(lambda x: [m.sum(fn(x)[0])])([a, b]),
    "compile": lambda fn, a, b: m.compile(fn)([a, b]),
    "custom_function": lambda fn, a, b: m.custom_function(fn)([a, b]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_callback_may_change_its_arguments_and_those_of_the_call(name, change):
    a, b = Array(ROWS), Array(ROWS)
    outcome(lambda: [part for part in TRANSFORMS[name](rule_that(change, a, b, ones), a, b)[0] if part is not None])


@pytest.mark.parametrize("kind", ["vjp", "jvp", "vmap"])
def test_a_rule_may_change_its_arguments_and_those_of_the_call(kind, change):
    a, b = Array(ROWS), Array(ROWS)
    results = {
        "vjp": lambda primals, cotangents, outputs: ones(primals) * 2,
        "jvp": lambda primals, tangents, argnums: ones(primals),
        "vmap": lambda arrays, axes: (ones(arrays), [0]),
    }
    fn = m.custom_function(lambda x: [x[0] + x[1]], **{kind: rule_that(change, a, b, results[kind])})
    uses = {
        "vjp": lambda: m.vjp(fn, [a, b], [a])[1],
        "jvp": lambda: m.jvp(fn, [a, b], [a, b])[1],
        "vmap": lambda: m.vmap(fn)([a, b]),
    }
    outcome(uses[kind])


# --- special methods of something that is no array ---

METHODS = [name for name in vars(Array) if callable(getattr(Array, name)) and name not in ("__new__", "_own")]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("other", [1.5, None, "text", object()], ids=["a number", "None", "a text", "an object"])
def test_a_method_called_on_something_else_is_an_error_at_most(name, other):
    method = getattr(Array, name)
    for arguments in ([], [Array(1.0)], [0, Array(1.0)]):
        try:
            method(other, *arguments)
        except Exception as error:
            error.__traceback__ = None


# --- handles of other kinds ---


class Lookalike:
    """Not an array, with an attribute of the name under which an Array has its handle."""

    _h = 8


OTHERS = {"Stream": m.default_stream, "Device": m.default_device}


@pytest.mark.parametrize("call", [m.eval, m.async_eval, lambda other: m.print_graph([other])])
def test_a_lookalike_is_no_array(call):
    with pytest.raises(TypeError, match="expected Arrays with a value, got Lookalike"):
        call(Lookalike())
    with pytest.raises(TypeError, match="must return Arrays, got Lookalike"):
        m.vjp(lambda inputs: [Lookalike()], [Array(1.0)], [Array(1.0)])


@pytest.mark.parametrize("kind", OTHERS)
def test_a_handle_of_another_kind_is_never_an_arrays(kind):
    other, a = OTHERS[kind](), Array(ROWS)
    for call in (lambda: m.eval(other), lambda: m.async_eval(other), lambda: m.print_graph([other])):
        with pytest.raises(TypeError, match=f"expected Arrays with a value, got {kind}"):
            call()
    for name in METHODS:
        for arguments in ([], [a], [0, a]):
            with contextlib.suppress(Exception):
                getattr(Array, name)(other, *arguments)
    for attribute in ("shape", "dtype", "ndim", "size", "nbytes"):
        with pytest.raises(AttributeError):
            getattr(Array, attribute).__get__(other)


@pytest.mark.parametrize("stranger", [Array(1.0), m.default_device(), 5, "cpu"], ids=lambda value: type(value).__name__)
def test_a_stream_is_a_stream(stranger):
    kind = type(stranger).__name__
    for call in (
        lambda: m.add(Array(1.0), Array(2.0), stream=stranger), lambda: m.negative(Array(1.0), stream=stranger),
        lambda: fft.fft(Array([1.0]), 1, 0, stream=stranger), lambda: m.fused.swiglu([1.0], [1.0], stream=stranger),
        lambda: m.set_default_stream(stranger), lambda: io.load("a.npy", stream=stranger),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"stream: expected a Stream, got {kind}"):
            call()


@pytest.mark.parametrize("stranger", [Array(1.0), m.default_stream(), 5, "cpu"], ids=lambda value: type(value).__name__)
def test_a_device_is_a_device(stranger):
    kind = type(stranger).__name__
    for call in (m.Stream, m.default_stream, m.set_default_device, m.device.is_available):
        with pytest.raises(TypeError, match=f"device: expected a Device, got {kind}"):
            call(stranger)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps], ids=lambda function: function.__name__)
def test_what_owns_a_handle_stays_its_one_owner(copied, tmp_path):
    io.save_gguf(tmp_path / "a.gguf", {"a": Array([1.0])})
    m.export_function(tmp_path / "f", lambda x: x, [Array(1.0)])
    owners = [m.Device("cpu"), m.Stream(), io.load_gguf(tmp_path / "a.gguf")[1], m.import_function(tmp_path / "f")]
    for owner in owners:
        with pytest.raises(TypeError, match=f"a {type(owner).__name__} has one owner"):
            copied(owner)


def test_an_owner_is_made_once():
    device = m.Device("cpu")
    with pytest.raises(TypeError, match="this Device has been made already"):
        device.__init__("cpu", 1)
    assert device == m.Device("cpu", 0)


@pytest.mark.parametrize("make", [m.export.ImportedFunction, io.GGUFMetadata])
def test_a_number_is_no_handle(make):
    with pytest.raises(TypeError):
        make(5)


@pytest.mark.leaks
def test_what_dies_in_one_cycle_with_an_object_may_use_it_after_its_end():
    ended = []

    class Late:
        def __init__(self, *owners):
            self.me, self.owners = self, owners

        def __del__(self):
            for owner in self.owners:
                for use in (m.eval, repr, Array.shape.__get__, lambda owner: owner.__setitem__(0, 1.0), Array.close):
                    with contextlib.suppress(AttributeError, TypeError, m.Error):
                        use(owner)
            ended.append(len(self.owners))

    closed = Array(ROWS)
    closed.close()
    # Before and after: the collector takes those first that were made first.
    device, array, closed_too = m.Device("cpu"), Array(ROWS), closed
    late = [Late(array, device, closed_too) for _ in range(2)]
    late[0].others, late[1].others = late, late
    del device, array, closed, closed_too, late
    gc.collect()
    gc.collect()
    assert ended == [3, 3]


def test_an_object_that_was_ended_by_hand_is_not_freed_twice():
    closed = Array(ROWS)
    closed.close()
    arrays = (Array(ROWS), closed) if hasattr(Array, "__del__") else ()  # on PyPy an Array has no finalizer
    for owner in (m.Device("cpu"), m.Stream(), *arrays):
        owner.__del__()
        owner.__del__()


def test_a_closed_array_is_made_by_closing():
    array = Array(1.0)
    array.close()
    with pytest.raises(ValueError, match="has been closed"):
        type(array)(1.0)


@pytest.mark.parametrize(
    "state", [(b"", (2**31 - 1,), "float32"), (b"abc", (1,), "float32"), (b"abcd", (-1,), "float32"),
              (b"abcd" * 4, (2**16,) * 4, "float32")]
)  # fmt: skip
def test_a_pickle_holds_as_many_bytes_as_its_shape_says(state):
    make, _ = Array([1.0]).__reduce__()
    with pytest.raises(ValueError, match=r"data: expected -?\d+ bytes for float32"):
        make(*state)


# --- other threads ---

READS = [
    lambda a: a.tolist(), lambda a: float(a[0, 0]), lambda a: np.array(a), str, lambda a: m.eval(a), lambda a: a.eval(),
    lambda a: m.sum(a).item(), lambda a: pickle.dumps(a), copy.copy,
    lambda a: np.from_dlpack(a).sum() if CPYTHON else None,
    lambda a: m.grad(lambda x: [m.sum(x[0] * x[0])])(a), lambda a: m.vmap(lambda x: [x[0] + 1])([a]),
    lambda a: m.compile(lambda x: [x[0] * 2])([a]),
]  # fmt: skip


def put(number):
    def change(array):
        array[...] = Array([[float(number)] * 4] * 2).eval()

    return change


@pytest.mark.usefixtures("threads_alternate")
def test_threads_read_write_and_compute_one_array():
    shared = Array(ROWS).eval()
    calls = [*READS, *map(put, range(6))]

    def work(number):
        for turn in range(12):
            calls[(5 * number + turn) % len(calls)](shared)

    assert together(work, 8) == []
    assert len(set(np.array(shared).ravel().tolist())) == 1


@pytest.mark.usefixtures("threads_alternate")
def test_threads_use_an_array_that_another_closes():
    for _ in range(10):
        shared = Array(ROWS).eval()

        def work(number, shared=shared):
            for turn in range(4):
                if number == 0 and turn == 2:
                    shared.close()
                try:
                    READS[(5 * number + turn) % len(READS)](shared)
                except (m.Error, TypeError, IndexError) as error:
                    error.__traceback__ = None

        assert together(work, 8) == []


def test_a_file_is_written_while_the_array_changes(tmp_path):
    shared = Array(ROWS).eval()
    stop = threading.Event()

    def change():
        while not stop.is_set():
            put(7)(shared)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for turn in range(5):
            io.save(tmp_path / f"{turn}.npy", shared)
            io.save_safetensors(tmp_path / f"{turn}.safetensors", {"a": shared})
            assert len(set(np.array(shared).ravel().tolist())) in (1, 8)
    finally:
        stop.set()
        thread.join()


# --- what is refused ---


def test_argnums_that_c_cannot_hold_are_named():
    with pytest.raises(ValueError, match=r"\[value_and_grad\] argnums: expected positions from 0 to 2147483647"):
        m.value_and_grad(lambda x: x, 2**40)


class FalsyRule:
    """A rule that is False, and returns too little."""

    def __bool__(self):
        return False

    def __call__(self, *arguments):
        return []


@pytest.mark.parametrize("kind", ["vjp", "jvp", "vmap"])
def test_a_rule_counts_whatever_it_says_of_its_truth(kind):
    fn = m.custom_function(lambda x: [x[0] * x[1]], **{kind: FalsyRule()})
    a, b = Array([1.0, 2.0]), Array([3.0, 4.0])
    uses = {
        "vjp": lambda: m.vjp(fn, [a, b], [a]),
        "jvp": lambda: m.jvp(fn, [a, b], [a, b]),
        "vmap": lambda: m.vmap(fn)([a, b]),
    }
    with pytest.raises((TypeError, ValueError), match=r"the .* rule must return"):
        uses[kind]()


def test_nothing_is_ignored_when_a_constructor_fails(monkeypatch):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    for make in (
        lambda: Array("text"), lambda: m.value_and_grad(lambda x: x, 2**40), lambda: m.Device("tpu"),
        lambda: m.import_function("/nowhere"), lambda: object.__new__(Array), lambda: m.Stream.__new__(m.Stream),
    ):  # fmt: skip
        try:
            make()
        except (m.Error, TypeError) as error:
            error.__traceback__ = None
    assert ignored == []


def test_an_array_keeps_its_handle():
    array = Array(ROWS)
    handle, before = array._h, memory.live_handles()
    array[0] = 1.0
    array += 0
    array.__init__(5.0)
    assert array.shape == (2, 4)
    array = array[...]
    assert handle != 0
    del array
    assert memory.live_handles().get("array", 0) == before.get("array", 0) - ("array" in before)


def test_only_arrays_share_handles():
    """The name of a method is no promise about what it returns."""

    class Stranger:
        def _mlxffi_share(self):
            return 12345

    with pytest.raises(TypeError):
        Array(Stranger())
