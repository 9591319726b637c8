"""A valid call of every function: the arguments from which the bad ones are made.

A parameter takes what CALLS says for its function, else what BY_NAME says for its name, else what BY_TYPE says for its
type. Arrays hold no zeros where a zero would be an error of the data.
"""

from __future__ import annotations

from typing import Any

from .native import DTYPES
from .specs import NULL, Array, Items, Optional, VTable

MATRIX = Array((4, 4))
INDICES = Array((2,), "int32", "zero")
IMAGE = Array((1, 6, 6, 4))
KEY = Array((2,), "uint32")

BY_TYPE: dict[str, Any] = {
    "mlx_array": MATRIX,
    "mlx_stream": "default",
    "mlx_vector_array": (MATRIX, MATRIX),
    "mlx_vector_vector_array": ((MATRIX,), (MATRIX,)),
    "mlx_vector_int": (1, 2),
    "mlx_vector_string": ("a", "b"),
    "mlx_map_string_to_array": (("a", MATRIX),),
    "mlx_map_string_to_string": (("a", "b"),),
    "mlx_io_vtable": VTable(),
    "mlx_io_reader": VTable(),
    "mlx_io_writer": VTable(),
    "mlx_dtype": 10,
    "mlx_fft_norm": 0,
    "mlx_compile_mode": 3,
    "mlx_device_type": 0,
    "mlx_device": (0, 0),
    "mlx_map_string_to_array_iterator": (("a", MATRIX),),
    "mlx_map_string_to_string_iterator": (("a", "b"),),
    "mlx_fast_math_mode": 0,
    "mlx_optional_int": Optional(),
    "mlx_optional_float": Optional(),
    "mlx_optional_bool": Optional(),
    "mlx_optional_dtype": Optional(),
    "const int *": Items((0,)),
    "const int64_t *": Items((1,)),
    "const uint64_t *": Items((1,)),
    "int *": Items((1, 2)),
    "const mlx_array *": Items((MATRIX, MATRIX)),
    "const mlx_vector_array *": Items(((MATRIX,), (MATRIX,))),
    "const char **": Items(("a", "b")),
    "const char *": "a",
    "const void *": "bytes",
    "void *": "bytes",
    "FILE *": "null device",
    "bool": False,
    "int": 0,
    "const int": 1,
    "size_t": 0,
    "uint64_t": 1,
    "uintptr_t": 1,
    "float": 1.0,
    "double": 1.0,
}

BY_NAME: dict[str, Any] = {
    "axis2": 1,
    "ddof": 0,
    "destination": 1,
    "file": "@new.bin",
    "group": NULL,
    "input_0": (MATRIX, MATRIX),
    "key": "a",
    "indexing": "xy",
    "key_array": KEY,
    "limit": 1 << 30,
    "mode": "affine",
    "num": 3,
    "repeats": 2,
    "shape": Items((4, 4)),
    "side": "left",
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "stop": 3.0,
    "step": 1.0,
    "UPLO": "L",
    "width": 4,
}

_PACKED = {"w": Array((4, 8), "uint32"), "scales": Array((4, 1)), "biases": Array((4, 1))}
_PACKED_STACK = {"w": Array((2, 4, 8), "uint32"), "scales": Array((2, 4, 1)), "biases": Array((2, 4, 1))}
_GATHER_QMM = {
    "x": Array((2, 1, 64)),
    **_PACKED_STACK,
    "lhs_indices": INDICES,
    "rhs_indices": INDICES,
    "transpose": True,
}
_SQUARE = {"a": Array((4, 4), fill="eye")}
_SLICE = {"start": Items((0, 0)), "stop": Items((2, 2)), "strides": Items((1, 1))}
_SLICE_UPDATE = {"update": Array((2, 2)), **_SLICE}
_SCATTER = {"indices": (INDICES,), "updates": Array((2, 1, 4)), "axes": Items((0,))}
_SCATTER_SINGLE = {"indices": INDICES, "updates": Array((2, 1, 4))}
_HEADS = {"queries": Array((1, 2, 4, 8)), "keys": Array((1, 2, 4, 8)), "values": Array((1, 2, 4, 8)), "mask_mode": ""}
_HEADS |= {"mask_arr": Array((4, 4)), "sinks": Array((2,))}
_INTEGERS = {"a": Array((4, 4), "int32"), "b": Array((4, 4), "int32")}
_FFT = {"n": 4, "axis": -1}
_FFTN = {"n": Items((4, 4)), "axes": Items((0, 1))}
_SINGLE = {"primals": (MATRIX,), "fun": "square"}
_CONV1D = {"input": Array((1, 8, 4)), "weight": Array((4, 3, 4))}
_CONV2D = {
    "input": IMAGE,
    "weight": Array((4, 3, 3, 4)),
    "stride_0": 1,
    "stride_1": 1,
    "dilation_0": 1,
    "dilation_1": 1,
}
_CONV3D = {**_CONV2D, "input": Array((1, 4, 4, 4, 2)), "weight": Array((2, 2, 2, 2, 2)), "stride_2": 1, "dilation_2": 1}
_VALUE_AT_0 = {
    "axes": Items((0,)),
    "low_pad_size": Items((1,)),
    "high_pad_size": Items((1,)),
    "pad_value": Array((), "float32"),
}
_RANDOM = {"key": KEY}
_OF_SQUARE = """
cholesky cholesky_inv det eig eigh eigvals eigvalsh inv lu lu_factor pinv qr slogdet solve solve_triangular svd tri_inv
"""
_KERNEL = {"name": "k", "source": "s", "header": "h"}

_DTYPES = [name for name in DTYPES if name not in ("float16", "bfloat16")]

CALLS: dict[str, dict[str, Any]] = {
    **{f"mlx_array_item_{dtype}": {"arr": Array((), dtype)} for dtype in _DTYPES},
    **{f"mlx_array_data_{dtype}": {"arr": Array((4,), dtype)} for dtype in _DTYPES},
    "mlx_array_eval": {"arr": "lazy"},
    "mlx_array_new_data": {"data": "bytes"},
    "mlx_array_set_data": {"data": "bytes"},
    "mlx_array_new_data_managed": {"dtor": NULL},
    "mlx_array_new_data_managed_payload": {"dtor": NULL},
    "mlx_as_strided": {"shape": Items((2, 2)), "strides": Items((4, 1))},
    "mlx_bitwise_and": _INTEGERS,
    "mlx_bitwise_or": _INTEGERS,
    "mlx_bitwise_xor": _INTEGERS,
    "mlx_bitwise_invert": _INTEGERS,
    "mlx_left_shift": _INTEGERS,
    "mlx_right_shift": _INTEGERS,
    "mlx_block_masked_mm": {"a": Array((32, 32)), "b": Array((32, 32)), "block_size": 32}
    | {name: Array((1, 1)) for name in ("mask_out", "mask_lhs", "mask_rhs")},
    "mlx_conv1d": _CONV1D,
    "mlx_conv2d": _CONV2D,
    "mlx_conv3d": _CONV3D,
    "mlx_conv_general": {"input": IMAGE, "weight": Array((4, 3, 3, 4)), "stride": Items((1, 1))}
    | {"padding_lo": Items((0, 0)), "padding_hi": Items((0, 0))}
    | {"kernel_dilation": Items((1, 1)), "input_dilation": Items((1, 1))},
    "mlx_conv_transpose1d": _CONV1D,
    "mlx_conv_transpose2d": _CONV2D,
    "mlx_conv_transpose3d": _CONV3D,
    "mlx_dequantize": {**_PACKED, "global_scale": NULL},
    "mlx_einsum": {"subscripts": "ij,jk->ik"},
    "mlx_einsum_path": {"subscripts": "ij,jk->ik"},
    "mlx_eye": {"n": 3, "m": 3},
    "mlx_from_fp8": {"x": Array((4,), "uint8")},
    "mlx_full": {"vals": Array(())},
    "mlx_full_like": {"vals": Array(())},
    "mlx_gather": {"indices": (INDICES,), "axes": Items((0,)), "slice_sizes": Items((1, 4))},
    "mlx_gather_single": {"indices": INDICES, "slice_sizes": Items((1, 4))},
    "mlx_gather_mm": {"a": Array((2, 4, 4)), "b": Array((2, 4, 4)), "lhs_indices": INDICES, "rhs_indices": INDICES},
    "mlx_gather_qmm": _GATHER_QMM,
    "mlx_gather_qmm_global_scale": {**_GATHER_QMM, "global_scale": NULL},
    "mlx_gather_qqmm": {"x": Array((2, 1, 64)), "w": Array((2, 4, 8), "uint32"), "scales_w": Array((2, 4, 4), "uint8")}
    | {"lhs_indices": INDICES, "rhs_indices": INDICES, "mode": "nvfp4", "global_scale_x": NULL, "global_scale_w": NULL},
    "mlx_identity": {"n": 3},
    "mlx_masked_scatter": {"mask": Array((4, 4), "bool"), "src": Array((16,))},
    "mlx_nan_to_num": {"posinf": Optional(1.0), "neginf": Optional(1.0)},
    "mlx_pad": {**_VALUE_AT_0, "mode": "constant"},
    "mlx_pad_symmetric": {"pad_width": 1, "pad_value": Array(()), "mode": "constant"},
    "mlx_put_along_axis": {"indices": Array((1, 4), "int32", "zero"), "values": Array((1, 4))},
    "mlx_scatter_add_axis": {"indices": Array((1, 4), "int32", "zero"), "values": Array((1, 4))},
    "mlx_qqmm": {"x": Array((1, 64)), "w": Array((4, 8), "uint32"), "w_scales": Array((4, 4), "uint8"), "mode": "nvfp4"}
    | {"global_scale_x": NULL, "global_scale_w": NULL},
    "mlx_quantize": {"w": Array((4, 64)), "global_scale": NULL},
    "mlx_quantized_matmul": {**_PACKED, "x": Array((1, 64)), "transpose": True},
    "mlx_roll": {"shift": Items((1,))},
    "mlx_roll_axis": {"shift": Items((1,))},
    "mlx_roll_axes": {"shift": Items((1,))},
    **{f"mlx_scatter{kind}": _SCATTER for kind in ("", "_add", "_max", "_min", "_prod")},
    **{f"mlx_scatter{kind}_single": _SCATTER_SINGLE for kind in ("", "_add", "_max", "_min", "_prod")},
    "mlx_searchsorted": {"sorted_sequence": Array((4,)), "values": Array((4,))},
    "mlx_segmented_mm": {"segments": Array((2, 2), "uint32", "zero")},
    "mlx_slice": _SLICE,
    "mlx_slice_dynamic": {"start": Array((1,), "int32", "zero"), "slice_size": Items((2, 4))},
    "mlx_slice_update_dynamic": {"update": Array((2, 4)), "start": Array((1,), "int32", "zero")},
    **{f"mlx_slice_update{kind}": _SLICE_UPDATE for kind in ("", "_add", "_max", "_min", "_prod")},
    "mlx_split": {"num_splits": 2},
    "mlx_split_sections": {"indices": Items((1,))},
    "mlx_squeeze_axes": {"a": Array((1, 4))},
    "mlx_squeeze_axis": {"a": Array((1, 4))},
    "mlx_take": {"indices": INDICES},
    "mlx_take_axis": {"indices": INDICES},
    "mlx_take_along_axis": {"indices": Array((1, 4), "int32", "zero")},
    "mlx_tensordot": {"axes_a": Items((0,)), "axes_b": Items((0,))},
    "mlx_tensordot_axis": {"axis": 1},
    "mlx_tile": {"reps": Items((2, 2))},
    "mlx_topk": {"k": 2},
    "mlx_topk_axis": {"k": 2},
    "mlx_transpose_axes": {"axes": Items((1, 0))},
    "mlx_tri": {"n": 3, "m": 3},
    "mlx_unflatten": {"shape": Items((2, 2))},
    "mlx_bartlett": {"M": 4},
    "mlx_blackman": {"M": 4},
    "mlx_hamming": {"M": 4},
    "mlx_hanning": {"M": 4},
    "mlx_diff": {"n": 1},
    "mlx_unique": {"size": 3, "fill_value": Array(())},
    "mlx_random_bernoulli": {"p": Array((4, 4), fill="eye"), **_RANDOM},
    "mlx_random_bits": _RANDOM,
    "mlx_random_categorical": _RANDOM,
    "mlx_random_categorical_shape": {**_RANDOM, "shape": Items((3, 4))},
    "mlx_random_categorical_num_samples": {**_RANDOM, "num_samples": 3},
    "mlx_random_gumbel": _RANDOM,
    "mlx_random_laplace": _RANDOM,
    "mlx_random_multivariate_normal": {
        "mean": Array((4,)),
        "cov": Array((4, 4), fill="eye"),
        "shape": Items((2,)),
        **_RANDOM,
    },
    "mlx_random_normal": _RANDOM,
    "mlx_random_normal_broadcast": {"loc": Array(()), "scale": Array(()), **_RANDOM},
    "mlx_random_permutation": _RANDOM,
    "mlx_random_permutation_arange": {"x": 4, **_RANDOM},
    "mlx_random_randint": {"low": Array((), "int32", "zero"), "high": Array((), "int32"), "dtype": 7, **_RANDOM},
    "mlx_random_split": _RANDOM,
    "mlx_random_split_num": {**_RANDOM, "num": 2},
    "mlx_random_truncated_normal": {"lower": Array((), fill="zero"), "upper": Array(()), **_RANDOM},
    "mlx_random_uniform": {"low": Array((), fill="zero"), "high": Array(()), **_RANDOM},
    **{f"mlx_fft_{name}": _FFT for name in ("fft", "ifft", "rfft", "irfft")},
    **{f"mlx_fft_{name}{rank}": _FFTN for name in ("fft", "ifft", "rfft", "irfft") for rank in "2n"},
    "mlx_fft_fftfreq": {"n": 4},
    "mlx_fft_rfftfreq": {"n": 4},
    "mlx_fft_istft": {"stft_matrix": Array((5, 4), "complex64"), "n_fft": Optional(8), "window": Array((8,))},
    "mlx_fft_stft": {"x": Array((32,)), "n_fft": 8, "window": Array((8,)), "pad_mode": "constant"},
    **{f"mlx_linalg_{name}": _SQUARE for name in _OF_SQUARE.split()},
    "mlx_linalg_cross": {"a": Array((4, 3)), "b": Array((4, 3)), "axis": -1},
    "mlx_linalg_norm": {"ord": 2.0},
    "mlx_linalg_norm_matrix": {"ord": "fro", "axis": Items((0, 1))},
    "mlx_linalg_norm_l2": {"axis": Items((0, 1))},
    "mlx_fast_cross_entropy": {"targets": Array((4,), "int32", "zero"), "logits": MATRIX},
    "mlx_fast_gated_delta_update": {
        "queries": Array((1, 3, 2, 4)),
        "keys": Array((1, 3, 2, 4)),
        "values": Array((1, 3, 2, 4)),
    }
    | {
        "gates": Array((1, 3, 2)),
        "beta": Array((1, 3, 2)),
        "initial_state": Array((1, 2, 4, 4)),
        "mask": Array((1, 3), "bool"),
    },
    "mlx_fast_layer_norm": {"weight": Array((4,)), "bias": Array((4,))},
    "mlx_fast_rms_norm": {"weight": Array((4,))},
    "mlx_fast_rope": {"x": Array((1, 4, 8)), "dims": 8, "base": Optional(100.0), "freqs": NULL},
    "mlx_fast_rope_dynamic": {"x": Array((1, 4, 8)), "dims": 8, "base": Optional(), "freqs": Array((4,))}
    | {"offset": Array((1,), "int32")},
    "mlx_fast_scaled_dot_product_attention": _HEADS,
    "mlx_fast_scaled_dot_product_attention_fused": _HEADS,
    "mlx_fast_cuda_kernel_new": _KERNEL,
    "mlx_fast_metal_kernel_new": _KERNEL,
    "mlx_fast_metal_kernel_new_math_mode": _KERNEL,
    "mlx_fast_cuda_kernel_apply": {"cls": NULL},
    "mlx_fast_cuda_kernel_free": {"cls": NULL},
    "mlx_fast_metal_kernel_apply": {"cls": NULL},
    "mlx_fast_metal_kernel_free": {"cls": NULL},
    "mlx_fast_precompiled_cuda_kernel": {"compiled_source": Items(b"PTX")},
    "mlx_distributed_group_rank": {"group": "world"},
    "mlx_distributed_group_size": {"group": "world"},
    "mlx_distributed_group_split": {"group": "world", "key": 0},
    "mlx_distributed_group_free": {"group": "world"},
    "mlx_distributed_init": {"bk": "any"},
    "mlx_distributed_is_available": {"bk": "ring"},
    "mlx_device_info_get_string": {"key": "device_name"},
    "mlx_device_info_get_size": {"key": "memory_size"},
    "mlx_io_gguf_get_metadata_array": {"key": "array"},
    "mlx_io_gguf_get_metadata_string": {"key": "string"},
    "mlx_io_gguf_get_metadata_vector_string": {"key": "strings"},
    "mlx_function_exporter_apply": {"args": (MATRIX,)},
    "mlx_function_exporter_apply_kwargs": {"xfunc": "kwargs"},
    "mlx_imported_function_apply": {"args": (MATRIX,)},
    "mlx_imported_function_apply_kwargs": {"args": (MATRIX,), "kwargs": ()},
    "mlx_set_compile_mode": {"mode": 3},
    "mlx_vmap": {"fun": "square", "in_axes": Items((0,)), "out_axes": Items((0,))},
    "mlx_vjp": {**_SINGLE, "cotangents": (MATRIX,)},
    "mlx_jvp": {**_SINGLE, "tangents": (MATRIX,)},
    "mlx_value_and_grad": {"argnums": Items((0,))},
    "mlx_detail_vmap_trace": {"inputs": (MATRIX,), "in_axes": Items((0,))},
    "mlx_detail_vmap_replace": {"inputs": (MATRIX,), "s_inputs": (MATRIX,), "s_outputs": (MATRIX,)}
    | {"in_axes": Items((0,)), "out_axes": Items((0,))},
    "mlx_load": {"file": "@array.npy"},
    "mlx_load_gguf": {"file": "@arrays.gguf"},
    "mlx_load_safetensors": {"file": "@arrays.safetensors"},
    "mlx_load_safetensors_reader": {"in_stream": VTable("safetensors")},
    "mlx_imported_function_new": {"file": "@function.mlxfn"},
    "mlx_save": {"file": "@new.npy"},
    "mlx_save_gguf": {"file": "@new.gguf"},
    "mlx_save_safetensors": {"file": "@new.safetensors"},
}

_BATCH = {"a": Array((2, 4, 4), fill="eye")}
_WIDE = {"a": Array((3, 4))}
_DEEP = {"shape": Items((2, 3, 4))}
_BACKWARDS = {"start": Items((3, 3)), "stop": Items((-5, -5)), "strides": Items((-2, -1)), "update": Array((2, 4))}
_TWO_INDICES = {"indices": (INDICES, INDICES), "axes": Items((0, 1)), "updates": Array((2, 1, 1))}
_NO_INDICES = {"indices": (Array((0,), "int32", "zero"),), "updates": Array((0, 1, 4))}
_GROUPS1D = {"weight": Array((4, 3, 2)), "groups": 2, "stride": 2, "padding": 1, "dilation": 2}
_GROUPS2D = {"weight": Array((4, 3, 3, 2)), "groups": 2, "stride_0": 2, "padding_0": 1, "dilation_1": 2}
_WHOLE = {"lhs_indices": NULL, "rhs_indices": NULL}
_FOURS = {"mode": "mxfp4", "scales": Array((4, 2), "uint8"), "biases": NULL}
_EIGHTS = {"mode": "mxfp8", "w": Array((4, 16), "uint32"), "scales": Array((4, 2), "uint8"), "biases": NULL}
_SHARED_HEADS = {"queries": Array((1, 4, 3, 8)), "mask_mode": "causal", "mask_arr": NULL, "sinks": NULL}

# Further valid calls: other paths through the same function.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    **{f"mlx_{name}": (_DEEP,) for name in ("zeros", "ones", "full", "random_bits", "random_normal", "random_gumbel")},
    **{
        f"mlx_linalg_{name}": (_BATCH,) for name in ("cholesky", "cholesky_inv", "det", "eig", "eigh", "inv", "tri_inv")
    },
    **{f"mlx_linalg_{name}": (_BATCH, _WIDE) for name in ("lu", "lu_factor", "pinv", "qr", "svd")},
    "mlx_linalg_solve": ({"b": Array((4,))}, {**_BATCH, "b": Array((2, 4, 3))}),
    "mlx_linalg_solve_triangular": ({"b": Array((4,))}, {**_BATCH, "b": Array((2, 4, 3))}),
    "mlx_broadcast_to": ({"shape": Items((2, 4, 4))},),
    "mlx_diag": ({"a": Array((4,))},),
    "mlx_fft_stft": ({"window": NULL, "win_length": Optional(6), "center": True},),
    "mlx_fft_istft": ({"window": NULL, "win_length": Optional(6), "length": Optional(16)},),
    "mlx_conv1d": (_GROUPS1D,),
    "mlx_conv2d": (_GROUPS2D,),
    "mlx_conv_general": ({"weight": Array((4, 3, 3, 2)), "groups": 2, "input_dilation": Items((2, 1))},),
    "mlx_conv_transpose1d": ({**_GROUPS1D, "output_padding": 1},),
    "mlx_conv_transpose2d": ({**_GROUPS2D, "output_padding_0": 1},),
    **{f"mlx_scatter{kind}": (_TWO_INDICES, _NO_INDICES) for kind in ("", "_add", "_max", "_min", "_prod")},
    "mlx_gather": ({**_TWO_INDICES, "slice_sizes": Items((1, 2))}, {**_NO_INDICES}),
    "mlx_take": ({"indices": Array((), "int32", "zero")},),
    "mlx_take_axis": ({"indices": Array((0,), "int32", "zero")},),
    "mlx_masked_scatter": ({"mask": Array((4,), "bool"), "src": Array((4, 4))},),
    **{f"mlx_slice{kind}": (_BACKWARDS,) for kind in ("", "_update", "_update_add")},
    "mlx_slice_update_dynamic": (
        {"update": Array((2, 2)), "start": Array((2,), "int32", "zero"), "axes": Items((0, 1))},
    ),
    "mlx_quantize": ({"mode": "mxfp4"}, {"mode": "mxfp8"}, {"mode": "nvfp4", "w": Array((4, 32))}),
    "mlx_dequantize": (_FOURS, _EIGHTS),
    "mlx_quantized_matmul": ({**_FOURS}, {"transpose": False, "x": Array((1, 4))}),
    "mlx_gather_qmm": (_WHOLE, {"x": Array((2, 1, 4)), "transpose": False}),
    "mlx_gather_mm": (_WHOLE,),
    "mlx_qqmm": ({"w": Array((4, 64)), "w_scales": NULL},),
    "mlx_block_masked_mm": (
        {"a": Array((40, 40)), "b": Array((40, 40)), "mask_out": NULL, "mask_lhs": Array((2, 2), "bool")},
    ),
    "mlx_hadamard_transform": ({"a": Array((12,))}, {"a": Array((20,)), "scale": Optional(1.0)}),
    "mlx_median": ({"axes": Items((0, 1))},),
    "mlx_pad": (
        {"mode": "edge", "axes": Items((0, 1)), "low_pad_size": Items((1, 2)), "high_pad_size": Items((0, 3))},
    ),
    "mlx_tensordot": ({"axes_a": Items((0, 1)), "axes_b": Items((0, 1))},),
    "mlx_transpose_axes": ({"a": Array((2, 3, 4)), "axes": Items((2, 0, 1))},),
    "mlx_unique": ({"fill_value": NULL, "return_index": True, "return_inverse": True, "return_counts": True},),
    "mlx_value_and_grad": ({"fun": "square"}, {"fun": "square", "argnums": Items((0, 1))}),
    "mlx_vmap": ({"fun": "copy", "in_axes": Items((1,)), "out_axes": Items((1,))},),
    "mlx_fast_layer_norm": ({"weight": NULL, "bias": NULL},),
    "mlx_fast_rope": ({"dims": 4, "traditional": True},),
    "mlx_fast_scaled_dot_product_attention": (_SHARED_HEADS,),
    "mlx_fast_gated_delta_update": ({"initial_state": NULL, "mask": NULL},),
    "mlx_nan_to_num": ({"posinf": Optional(), "neginf": Optional()},),
    "mlx_random_categorical": ({"key": NULL},),
}
