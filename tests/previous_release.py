"""Which tests do not hold where mlxffi is built with the release of MLX before the table's, and why.

findings/mlx_wrong_before_0_32_4.sh shows with mlx.core alone what that release computes wrongly.
"""

RELEASE = "0.32.3"
LACKS = f"MLX {RELEASE} does not have it"
XOR = f"MLX {RELEASE} computes a xor of booleans twice, also where the result takes an operand's memory"
SLICE = f"MLX {RELEASE} transforms a slice with a step that takes one element of an axis as if the step were 1"
SPLIT = f"MLX {RELEASE} takes parts of a reversed array for contiguous, with too few elements"
SQUARE_ROOT = f"MLX {RELEASE} does not conjugate the gradient of a complex square root"
PADDED = f"MLX {RELEASE} gives the gradient of a convolution another shape where padding_lo and padding_hi differ"
OTHER = f"mlx.core {RELEASE} does something else"
UNSAFE = f"mlx.core {RELEASE} reads and writes outside of arrays by some of these keys"

# By the beginning of the test's name.
DIFFER = {
    **{
        f"test_check_grads.py::test_derivatives_agree_with_differences[{name}]": LACKS
        for name in ("minmax", "minmax_axis", "minmax_axes", "unique", "fft.stft", "fft.istft")
    },
    "test_check_grads.py::test_derivatives_agree_with_differences[sqrt:complex]": SQUARE_ROOT,
    "test_check_grads.py::test_derivatives_agree_with_differences[pad:reflect]": SLICE,
    "test_check_grads.py::test_derivatives_agree_with_differences[conv_general]": PADDED,
    "test_array.py::test_operators_give_what_numpy_gives[xor-bool]": XOR,
    "test_few_rows.py::test_products_and_gradients[sizes2-every second": SLICE,
    "test_io.py::test_a_file_cut_short_is_an_error[npy]": f"MLX {RELEASE} reads it",
    "test_ops.py::test_calls[split]": SPLIT,
    "core/test_array.py::test_expressions[construction]": OTHER,
    "core/test_array.py::test_expressions[operators]": OTHER,
    "core/test_core_io.py::test_processes": OTHER,
    "core/test_indexing.py::test_reading[": UNSAFE,
    "core/test_indexing.py::test_writing[": UNSAFE,
    "core/test_indexing.py::test_updates[": UNSAFE,
    "core/test_values.py::test_any_value_in_the_place_of_each_argument[arctan2]": OTHER,
    "core/test_values.py::test_any_value_in_the_place_of_each_argument[atan2]": OTHER,
}
