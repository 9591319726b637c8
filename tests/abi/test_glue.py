"""The glue: functions over integer handles, and the trampolines, through `mlxffi._ffi` alone.

It speaks of nothing but what a build against any mlx-c has.
"""

import gc
import threading
import weakref

import pytest

import mlxffi as m
from mlxffi import Array, _closures, _handles, _owners
from mlxffi._ffi import error_text, ffi, graph, lib, native
from mlxffi._handles import ArrayHandle, pack_arrays

FLOAT32, INT32 = lib.MLX_FLOAT32, lib.MLX_INT32
NO_STREAM = 0


@pytest.fixture
def own():
    """Takes handles of arrays over, and frees them after the test."""
    handles = []

    def take(handle):
        assert handle, error_text()
        handles.append(handle)
        return handle

    yield take
    for handle in handles:
        assert graph.glue_array_free(handle) == 0


@pytest.fixture(autouse=True)
def no_error_is_left():
    lib.glue_clear_error()
    yield
    lib.glue_clear_error()


def floats(*numbers):
    """A new array of float32."""
    return graph.glue_array_copy_data(ffi.new("float[]", numbers), [len(numbers)], 1, FLOAT32)


def numbers(handle):
    """The elements of an array of float32."""
    assert lib.glue_array_eval(handle) == 0, error_text()
    data = ffi.cast("float *", graph.glue_array_data(handle))
    return list(data[0 : graph.glue_array_size(handle)])


def vector_of(arrays):
    """A new vector of arrays, as a handle."""
    elements = ffi.new("mlx_array[]", [[ffi.cast("void *", array)] for array in arrays])
    return int(ffi.cast("intptr_t", lib.mlx_vector_array_new_data(elements, len(arrays)).ctx))


def unpacked(vector, own):
    """The arrays of a vector, which is freed."""
    handle = ffi.new("mlx_vector_array *", [ffi.cast("void *", vector)])[0]
    slots = ffi.new("mlx_array[]", lib.mlx_vector_array_size(handle))
    for index in range(len(slots)):
        assert lib.mlx_vector_array_get(slots + index, handle, index) == 0
    assert graph.glue_vector_array_free(vector) == 0
    return [own(int(ffi.cast("intptr_t", slot.ctx))) for slot in slots]


@pytest.fixture
def closure():
    """Makes closures of a kind over Python functions, and frees them after the test."""
    made = []

    def make(function, kind="closure"):
        made.append(_closures.Closure(function, kind))
        return made[-1].handle

    yield make
    for one in made:
        one.__exit__()


# --- arrays and operations ---


def test_an_array_tells_what_it_is(own):
    array = own(graph.glue_array_copy_data(ffi.new("int[]", list(range(6))), [2, 3], 2, INT32))
    assert (graph.glue_array_ndim(array), graph.glue_array_size(array), graph.glue_array_nbytes(array)) == (2, 6, 24)
    assert list(graph.glue_array_shape(array)[0:2]) == [2, 3]
    assert graph.glue_array_dtype(array) == INT32


def test_an_operation_takes_and_returns_integers(own):
    a, b = own(floats(1, 2)), own(floats(10, 20))
    assert isinstance(a, int)
    assert numbers(own(graph.glue_add(a, b, NO_STREAM))) == [11, 22]


def test_a_stream_of_zero_is_the_default_one(own):
    device = lib.glue_device_new_type(lib.MLX_CPU, 0)
    stream = lib.glue_stream_new_device(device)
    a = own(floats(1, 4))
    assert numbers(own(graph.glue_sqrt(a, stream))) == numbers(own(graph.glue_sqrt(a, NO_STREAM))) == [1, 2]
    lib.glue_stream_free(stream)
    lib.glue_device_free(device)


def test_lists_of_arrays_are_packed_for_the_call(own):
    parts = [own(floats(1)), own(floats(2, 3))]
    assert numbers(own(graph.glue_concatenate_axis(parts, 2, 0, NO_STREAM))) == [1, 2, 3]


def test_an_operation_may_return_a_vector(own):
    vector = graph.glue_divmod(own(floats(7, 8)), own(floats(2, 3)), NO_STREAM)
    assert [numbers(array) for array in unpacked(vector, own)] == [[3, 2], [1, 2]]


def test_several_results_are_written_through_pointers(own):
    identity = own(graph.glue_eye(2, 2, 0, FLOAT32, NO_STREAM))
    results = ffi.new("intptr_t[2]")
    assert graph.glue_linalg_qr(results, results + 1, identity, NO_STREAM) == 0
    q, r = (own(handle) for handle in results)
    assert numbers(own(graph.glue_matmul(q, r, NO_STREAM))) == [1, 0, 0, 1]


def test_an_optional_number_says_whether_it_is_there(own):
    a = own(floats(3, -1, 2))
    given = graph.glue_nan_to_num(a, 0.0, 1.0, True, 0.0, False, NO_STREAM)
    assert numbers(own(given)) == [3, -1, 2]


def test_arrays_are_packed_into_vectors_and_shared_out_of_them():
    arrays = [Array(number) for number in range(20)]
    vector = pack_arrays(arrays)
    copies = [*_handles.share_arrays(vector), *_handles.take_arrays(vector)]
    assert {copy._h for copy in copies}.isdisjoint(array._h for array in arrays)
    assert [copy.item() for copy in copies] == [*range(20), *range(20)]
    assert _handles.take_arrays(pack_arrays(())) == []


def test_only_open_arrays_are_packed():
    closed = Array(1.0)
    closed.close()
    for wrong in ([closed], [Array(1.0), None], [graph], "text", None):
        with pytest.raises(m.Error, match="Arrays that are not closed"):
            pack_arrays(wrong)


def test_a_handle_of_0_is_the_last_error():
    assert graph.glue_add(0, 0, NO_STREAM) == 0
    with pytest.raises(ValueError, match="mlx_add"):
        _handles.own_array(0)
    assert graph.glue_add(0, 0, NO_STREAM) == 0
    with pytest.raises(ValueError, match="mlx_add"):
        _handles.take_arrays(0)


@pytest.mark.parametrize("wrong", ["text", 1.5, None, 2**70])
def test_only_ints_are_handles(wrong):
    for take in (_handles.own_array, _handles.share_arrays):
        with pytest.raises((TypeError, OverflowError)):
            take(wrong)


def test_a_subclass_owns_its_handle():
    class Child(Array):
        pass

    child = Child._own(graph.glue_array_new_int(3))
    child.name, reference = "child", weakref.ref(child)
    assert (type(child), child.item()) == (Child, 3)
    del child
    assert reference() is None


def test_an_owner_outlives_what_is_put_into_its_handle():
    for wrong in ("text", None, 2**70, -1.5):
        owner = ArrayHandle.__new__(ArrayHandle)
        owner._h = wrong
        del owner
    with pytest.raises(AttributeError):
        ArrayHandle.__new__(ArrayHandle)._h  # noqa: B018


# --- errors ---


def test_a_failing_operation_returns_zero_and_leaves_a_text(own):
    assert graph.glue_add(own(floats(1, 2)), own(floats(1, 2, 3)), NO_STREAM) == 0
    assert "broadcast" in error_text()
    assert lib.glue_error_kind() != 0
    lib.glue_clear_error()
    assert (error_text(), lib.glue_error_kind()) == ("", 0)


def test_a_list_with_an_empty_handle_is_the_error_of_the_list(own):
    assert graph.glue_concatenate_axis([own(floats(1)), 0], 2, 0, NO_STREAM) == 0
    assert "mlx_vector_array_new_data" in error_text()
    assert vector_of([0]) == 0


def test_a_text_is_never_a_format(own):
    assert lib.glue_imported_function_new(b"/nowhere/%s%s%n%x.mlxfn") == 0
    assert "/nowhere/%s%s%n%x.mlxfn" in error_text()


def test_errors_belong_to_their_thread(own):
    assert graph.glue_add(own(floats(1, 2)), own(floats(1, 2, 3)), NO_STREAM) == 0
    seen = []
    thread = threading.Thread(target=lambda: seen.append(error_text()))
    thread.start()
    thread.join()
    assert (seen, bool(error_text())) == ([""], True)


# --- trampolines ---


def test_a_closure_calls_python(own, closure):
    double = closure(lambda arrays: [array + array for array in arrays])
    vector = lib.glue_closure_apply(double, [own(floats(1, 2)), own(floats(3))], 2)
    assert [numbers(array) for array in unpacked(vector, own)] == [[2, 4], [6]]


def test_vjp_and_jvp_write_two_vectors(own, closure):
    x, seed = own(floats(3)), own(floats(1))
    for transform in (lib.glue_vjp, lib.glue_jvp):
        results = ffi.new("intptr_t[2]")
        square = closure(lambda arrays: [arrays[0] * arrays[0]])
        assert transform(results, results + 1, square, [x], 1, [seed], 1) == 0, error_text()
        assert [numbers(unpacked(vector, own)[0]) for vector in results] == [[9], [6]]


def test_value_and_grad_is_a_closure_of_its_own_kind(own, closure):
    product = closure(lambda arrays: [m.reshape(arrays[0] * arrays[1], [])])
    made = lib.glue_value_and_grad(product, [1, 0], 2)
    results = ffi.new("intptr_t[2]")
    call = lib.glue_closure_value_and_grad_apply
    assert call(results, results + 1, made, [own(floats(3)), own(floats(4))], 2) == 0, error_text()
    values, grads = (unpacked(vector, own) for vector in results)
    assert numbers(values[0]) == [12]
    assert [numbers(grad) for grad in grads] == [[4], [3]], "in ascending order, whatever was asked for"
    assert lib.glue_closure_value_and_grad_free(made) == 0


def test_custom_rules_get_what_c_passes(own, closure):
    seen = []

    def vjp(primals, cotangents, outputs):
        seen.append((len(primals), len(cotangents), len(outputs)))
        return primals

    def jvp(primals, tangents, argnums):
        seen.append((len(primals), len(tangents), argnums))
        return tangents[:1]

    def vmap(arrays, axes):
        seen.append((len(arrays), axes))
        return arrays[:1], axes[:1]

    rules = {"closure_custom": vjp, "closure_custom_jvp": jvp, "closure_custom_vmap": vmap}
    parts = [closure(rule, kind) for kind, rule in rules.items()]
    made = lib.glue_custom_function(closure(lambda arrays: arrays[:1]), *parts)
    x, y = own(floats(3)), own(floats(4))
    for transform in (lib.glue_vjp, lib.glue_jvp):
        results = ffi.new("intptr_t[2]")
        seeds = [x] if transform is lib.glue_vjp else [x, y]
        assert transform(results, results + 1, made, [x, y], 2, seeds, len(seeds)) == 0, error_text()
        for vector in results:
            unpacked(vector, own)
    results = ffi.new("intptr_t[2]")
    assert lib.glue_detail_vmap_trace(results, results + 1, made, [x, y], 2, [0, -1], 2) == 0, error_text()
    inputs, outputs = (unpacked(vector, own) for vector in results)
    unpacked(lib.glue_detail_vmap_replace([x, y], 2, inputs, 2, outputs, 1, [0, -1], 2, [0], 1), own)
    assert seen == [(2, 1, 1), (2, 2, [0, 1]), (2, [0, -1])]
    assert lib.glue_closure_free(made) == 0


@pytest.mark.parametrize("returned", [None, [], [1.0], "no list"])
def test_what_is_not_a_list_of_arrays_is_a_failure(own, closure, returned):
    assert lib.glue_closure_apply(closure(lambda arrays: returned), [own(floats(1))], 1) == 0
    with pytest.raises((TypeError, ValueError), match="must return"):
        _closures.check(1)


@pytest.mark.parametrize(
    "returned", [None, [], ([], [0]), ([None], [0]), (1, 2, 3), ([], 3), ([], ["x"]), ([], [2**40])]
)
def test_what_is_no_pair_of_arrays_and_axes_is_a_failure(own, closure, returned):
    rule = closure(lambda arrays, axes: returned, "closure_custom_vmap")
    made = lib.glue_custom_function(closure(lambda arrays: arrays), 0, 0, rule)
    results, x = ffi.new("intptr_t[2]"), own(floats(1, 2))
    assert lib.glue_detail_vmap_trace(results, results + 1, made, [x], 1, [0], 1) == 0
    inputs, outputs = (unpacked(vector, own) for vector in results)
    assert lib.glue_detail_vmap_replace([x], 1, inputs, 1, outputs, 1, [0], 1, [0], 1) == 0
    with pytest.raises((TypeError, ValueError, OverflowError)):
        _closures.check(1)
    assert lib.glue_closure_free(made) == 0


def test_nothing_is_traced_outside_of_a_trace(own):
    assert lib.glue_closure_apply(native.traced_closure(), [own(floats(1))], 1) == 0
    with pytest.raises(RuntimeError, match="callback failed"):
        _closures.check(1)


def test_an_exception_is_kept_until_it_is_fetched_once(own, closure):
    def fail(arrays):
        raise error

    error = LookupError("100%s%n")
    assert lib.glue_closure_apply(closure(fail), [own(floats(1))], 1) == 0
    with pytest.raises(LookupError, match="100%s%n") as info:
        _closures.check(1)
    assert info.value is error
    error.__traceback__ = None
    del info
    assert _closures.check(0) is None


# --- what C holds of Python ---


def test_the_destructor_queues_the_key():
    key = 1 << 41
    _owners.drain()
    data = ffi.new("float[]", [1.0, 2.0])
    made = lib.glue_array_adopt(data, [2], 1, FLOAT32, key)
    graph.glue_array_free(made)
    keys = ffi.new("intptr_t[4]")
    assert (lib.glue_dropped(keys, 4), keys[0]) == (1, key)
    assert lib.glue_dropped(keys, 4) == 0


def test_more_keys_are_queued_than_one_call_fetches():
    _owners.drain()
    data = ffi.new("float[]", [1.0])
    for key in range(1000):
        graph.glue_array_free(lib.glue_array_adopt(data, [1], 1, FLOAT32, (1 << 41) + key))
    keys, fetched = ffi.new("intptr_t[64]"), []
    while count := lib.glue_dropped(keys, 64):
        fetched += ffi.unpack(keys, count)
    assert sorted(fetched) == [(1 << 41) + key for key in range(1000)]


def test_a_copy_keeps_the_function(own):
    before = native.living_functions()
    with _closures.Closure(lambda arrays: arrays) as handle:
        copy = lib.glue_checkpoint(handle)
    assert native.living_functions() == before + 1
    vector = lib.glue_closure_apply(copy, [own(floats(5))], 1)
    assert lib.glue_closure_free(copy) == 0
    result = unpacked(vector, own)[0]
    assert native.living_functions() == before + 1, "the lazy graph needs it for the gradient"
    assert numbers(result) == [5]
    assert native.living_functions() == before


def test_a_held_function_that_is_gone_is_a_failure(own):
    held = _closures.Held(lambda arrays: arrays)
    with _closures.Closure(held) as handle:
        del held
        gc.collect()
        assert lib.glue_closure_apply(handle, [own(floats(1))], 1) == 0
        with pytest.raises(RuntimeError, match="the transform was freed while it ran"):
            _closures.check(1)
