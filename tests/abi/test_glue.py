"""The glue: functions over integer handles, and the trampolines, through `mlxffi._ffi` alone.

It speaks of nothing but what a build against any mlx-c has.
"""

import gc
import threading
import weakref

import pytest
from helpers import counts_references

import mlxffi as m
from mlxffi import Array, _closures, _handles, _registry
from mlxffi._ffi import error_text, ffi, graph, lib
from mlxffi._handles import pack_arrays

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
    lib.mlxffi_clear_error()
    yield
    lib.mlxffi_clear_error()


def floats(*numbers):
    """A new array of float32."""
    return graph.glue_array_copy_data(ffi.new("float[]", numbers), [len(numbers)], 1, FLOAT32)


def numbers(handle):
    """The elements of an array of float32."""
    assert lib.glue_array_eval(handle) == 0, error_text()
    data = ffi.cast("float *", graph.glue_array_data(handle))
    return list(data[0 : graph.glue_array_size(handle)])


def unpacked(vector, own):
    """The arrays of a vector, which is freed."""
    handles = ffi.new("intptr_t[8]")
    return [own(handle) for handle in handles[0 : graph.glue_vector_array_take(handles, 8, vector)]]


def both(own, function, *arguments):
    """The arrays of the two vectors that a function gives."""
    first, second = ffi.new("intptr_t *"), ffi.new("intptr_t *")
    assert function(first, second, *arguments) == 0, error_text()
    return [*unpacked(first[0], own), *unpacked(second[0], own)]


def vector(*arrays):
    """A new vector of handles of arrays, for a call that frees it."""
    made = graph.glue_vector_array_pack(arrays, len(arrays))
    assert made, error_text()
    return made


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
    found = graph.glue_divmod(own(floats(7, 8)), own(floats(2, 3)), NO_STREAM)
    assert [numbers(array) for array in unpacked(found, own)] == [[3, 2], [1, 2]]


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
    copies = _handles.take_arrays(vector)
    assert {copy._h for copy in copies}.isdisjoint(array._h for array in arrays)
    assert [copy.item() for copy in copies] == [*range(20)]
    assert _handles.take_arrays(pack_arrays(())) == []


def test_only_open_arrays_are_packed():
    closed = Array(1.0)
    closed.close()
    with pytest.raises(m.Error, match="closed"):
        pack_arrays([closed])
    for wrong in ([Array(1.0), None], [graph], "text", None):
        with pytest.raises((TypeError, AttributeError)):
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
    for take in (graph.glue_array_set, graph.glue_array_free, lib.glue_closure_free):
        with pytest.raises((TypeError, OverflowError)):
            take(wrong)


@counts_references
def test_a_subclass_owns_its_handle():
    class Child(Array):
        pass

    child = Child._own(graph.glue_array_new_int(3))
    child.name, reference = "child", weakref.ref(child)
    assert (type(child), child.item()) == (Child, 3)
    del child
    assert reference() is None


def test_an_array_without_a_handle_dies_in_peace():
    made = object.__new__(Array)
    with pytest.raises(AttributeError):
        made._h  # noqa: B018


def test_other_content_comes_under_the_same_handle(own):
    array, other = own(floats(1, 2)), own(floats(3))
    assert graph.glue_array_assign(array, other) == 0
    assert (numbers(array), numbers(other)) == ([3], [3])
    assert graph.glue_array_assign(array, 0) != 0
    assert "mlx_array_set" in error_text()
    assert numbers(array) == [3]


def test_the_sizes_of_axes_are_copied(own):
    sizes = ffi.new("int[2]")
    array = own(graph.glue_zeros([2, 3, 4], 3, FLOAT32, NO_STREAM))
    assert (graph.glue_array_sizes(sizes, 2, array), list(sizes)) == (3, [0, 0])
    assert (graph.glue_array_sizes(sizes, 2, own(floats(5, 6))), list(sizes)) == (1, [2, 0])


# --- errors ---


def test_a_failing_operation_returns_zero_and_leaves_a_text(own):
    assert graph.glue_add(own(floats(1, 2)), own(floats(1, 2, 3)), NO_STREAM) == 0
    assert "broadcast" in error_text()
    assert lib.mlxffi_last_error_kind() != 0
    lib.mlxffi_clear_error()
    assert (error_text(), lib.mlxffi_last_error_kind()) == ("", 0)


def test_a_list_with_an_empty_handle_is_the_error_of_the_list(own):
    assert graph.glue_concatenate_axis([own(floats(1)), 0], 2, 0, NO_STREAM) == 0
    assert "mlx_vector_array_new_data" in error_text()
    assert graph.glue_vector_array_pack([0], 1) == 0


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
    found = lib.glue_closure_apply(double, vector(own(floats(1, 2)), own(floats(3))))
    assert [numbers(array) for array in unpacked(found, own)] == [[2, 4], [6]]


def test_vjp_and_jvp_give_two_vectors(own, closure):
    x, seed = own(floats(3)), own(floats(1))
    for transform in (lib.glue_vjp, lib.glue_jvp):
        square = closure(lambda arrays: [arrays[0] * arrays[0]])
        found = both(own, transform, square, vector(x), vector(seed))
        assert [numbers(array) for array in found] == [[9], [6]]


def test_value_and_grad_is_a_closure_of_its_own_kind(own, closure):
    product = closure(lambda arrays: [m.reshape(arrays[0] * arrays[1], [])])
    made = lib.glue_value_and_grad(product, [1, 0], 2)
    found = both(own, lib.glue_closure_value_and_grad_apply, made, vector(own(floats(3)), own(floats(4))))
    assert [numbers(array) for array in found] == [[12], [4], [3]], "in ascending order, whatever was asked for"
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
        seeds = [x] if transform is lib.glue_vjp else [x, y]
        both(own, transform, made, vector(x, y), vector(*seeds))
    *slices, output = both(own, lib.glue_detail_vmap_trace, made, vector(x, y), [0, -1], 2)
    unpacked(lib.glue_detail_vmap_replace(vector(x, y), vector(*slices), vector(output), [0, -1], 2, [0], 1), own)
    assert seen == [(2, 1, 1), (2, 2, [0, 1]), (2, [0, -1])]
    assert lib.glue_closure_free(made) == 0


@pytest.mark.parametrize("returned", [None, [], [1.0], "no list"])
def test_what_is_not_a_list_of_arrays_is_a_failure(own, closure, returned):
    assert lib.glue_closure_apply(closure(lambda arrays: returned), vector(own(floats(1)))) == 0
    with pytest.raises((TypeError, ValueError), match="must return"):
        _closures.check(1)


@pytest.mark.parametrize(
    "returned", [None, [], ([], [0]), ([None], [0]), (1, 2, 3), ([], 3), ([], ["x"]), ([], [2**40])]
)
def test_what_is_no_pair_of_arrays_and_axes_is_a_failure(own, closure, returned):
    rule = closure(lambda arrays, axes: returned, "closure_custom_vmap")
    made = lib.glue_custom_function(closure(lambda arrays: arrays), 0, 0, rule)
    x = own(floats(1, 2))
    slice_, output = both(own, lib.glue_detail_vmap_trace, made, vector(x), [0], 1)
    assert lib.glue_detail_vmap_replace(vector(x), vector(slice_), vector(output), [0], 1, [0], 1) == 0
    with pytest.raises((TypeError, ValueError, OverflowError)):
        _closures.check(1)
    assert lib.glue_closure_free(made) == 0


def test_an_exception_is_kept_until_it_is_fetched_once(own, closure):
    def fail(arrays):
        raise error

    error = LookupError("100%s%n")
    assert lib.glue_closure_apply(closure(fail), vector(own(floats(1)))) == 0
    with pytest.raises(LookupError, match="100%s%n") as info:
        _closures.check(1)
    assert info.value is error
    error.__traceback__ = None
    del info
    assert _closures.check(0) is None


# --- what C holds of Python ---


def dropped_keys():
    """The keys in C's queue, which is empty afterwards."""
    return sorted(iter(lib.glue_dropped_key, 0))


def test_the_destructor_queues_the_key():
    _registry.drain()
    data = ffi.new("float[]", [1.0])
    for key in range(1000):
        graph.glue_array_free(lib.glue_array_adopt(data, [1], 1, FLOAT32, (1 << 41) + key))
    assert dropped_keys() == [(1 << 41) + key for key in range(1000)]
    assert dropped_keys() == []


def test_keys_are_queued_and_fetched_on_many_threads():
    _registry.drain()
    data = ffi.new("float[]", [1.0])
    fetched, ends = [], threading.Barrier(4)

    def work(number):
        for key in range(200):
            graph.glue_array_free(lib.glue_array_adopt(data, [1], 1, FLOAT32, 1000 * number + key + 1))
            fetched.append(lib.glue_dropped_key())
        ends.wait()

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted([key for key in fetched if key] + dropped_keys())
    assert found == [1000 * number + key + 1 for number in range(4) for key in range(200)]


def test_a_key_that_nobody_knows_is_a_failure(own):
    made = lib.glue_new_closure(1 << 41)
    assert lib.glue_closure_apply(made, vector(own(floats(1)))) == 0
    with pytest.raises(KeyError):
        _closures.check(1)
    lib.glue_closure_free(made)
    assert dropped_keys() == [1 << 41]


def test_a_copy_keeps_the_function(own):
    before = _registry.count()
    with _closures.Closure(lambda arrays: arrays) as handle:
        copy = lib.glue_checkpoint(handle)
    assert _registry.count() == before + 1
    found = lib.glue_closure_apply(copy, vector(own(floats(5))))
    assert lib.glue_closure_free(copy) == 0
    result = unpacked(found, own)[0]
    assert _registry.count() == before + 1, "the lazy graph needs it for the gradient"
    assert numbers(result) == [5]
    assert _registry.count() == before


def test_a_held_function_that_is_gone_is_a_failure(own):
    held = _closures.Held(lambda arrays: arrays)
    with _closures.Closure(held) as handle:
        del held
        gc.collect()
        assert lib.glue_closure_apply(handle, vector(own(floats(1)))) == 0
        with pytest.raises(RuntimeError, match="the transform was freed while it ran"):
            _closures.check(1)
