"""Which tests do not hold where mlxffi is built with the release of MLX before the table's, and why."""

RELEASE = "0.32.3"
LACKS = f"MLX {RELEASE} does not have it"
WRONG = f"MLX {RELEASE} computes something else"
OTHER = f"mlx.core {RELEASE} does something else"
UNKNOWN = f"the result differs with MLX {RELEASE}, and the cause is not known"
UNSAFE = f"mlx.core {RELEASE} reads and writes outside of arrays by some of these keys"

# By the beginning of the test's name.
DIFFER = {
    **{
        f"test_check_grads.py::test_derivatives_agree_with_differences[{name}]": LACKS
        for name in ("minmax", "minmax_axis", "minmax_axes", "unique", "fft.stft", "fft.istft")
    },
    **{
        f"test_check_grads.py::test_derivatives_agree_with_differences[{name}]": WRONG
        for name in ("sqrt:complex", "pad:reflect", "conv_general")
    },
    "test_array.py::test_operators_give_what_numpy_gives[xor-bool]": WRONG,
    "test_few_rows.py::test_products_and_gradients[sizes2-every second": UNKNOWN,
    "test_io.py::test_a_file_cut_short_is_an_error[npy]": f"MLX {RELEASE} reads it",
    "test_ops.py::test_calls[split]": UNKNOWN,
    "core/test_array.py::test_expressions[construction]": OTHER,
    "core/test_array.py::test_expressions[operators]": OTHER,
    "core/test_core_io.py::test_processes": OTHER,
    "core/test_indexing.py::test_reading[": UNSAFE,
    "core/test_indexing.py::test_writing[": UNSAFE,
    "core/test_indexing.py::test_updates[": UNSAFE,
    "core/test_values.py::test_any_value_in_the_place_of_each_argument[arctan2]": OTHER,
    "core/test_values.py::test_any_value_in_the_place_of_each_argument[atan2]": OTHER,
}
