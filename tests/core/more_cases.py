"""Calls of the other operation functions of the main module: products, convolutions, quantization."""

import itertools

import numpy as np
from cases import INDEX_REDUCTIONS, REDUCTIONS
from specs import A, F, N, V, case

for mode in ("full", "same", "valid", "other"):
    for first, second in itertools.product((1, 2, 3, 5), repeat=2):
        case("convolve", A((first,)), A((second,), salt=1), mode)
    case("convolve", A((3,), "int32"), A((2,), "int32"), mode=mode)
    case("convolve", A((2, 2)), A((2,)), mode)
    case("convolve", A((0,)), A((2,)), mode)
case("convolve", A((3,)), 2)
ONE, TWO, THREE = (A((2, 7, 4)),), (A((2, 7, 6, 4)),), (A((1, 4, 5, 6, 4)),)
for options in (
    {},
    {"stride": 2},
    {"padding": 1},
    {"dilation": 2},
    {"groups": 2},
    {"stride": 2, "padding": 3},
    {"stride": 0},
    {"padding": -1},
):
    channels = 2 if "groups" in options else 4
    case("conv1d", *ONE, A((6, 3, channels)), **options)
    case("conv2d", *TWO, A((6, 3, 2, channels)), **options)
    case("conv3d", *THREE, A((6, 2, 1, 2, channels)), **options)
    case("conv_transpose1d", *ONE, A((6, 3, channels)), **options)
    case("conv_transpose2d", *TWO, A((6, 3, 2, channels)), **options)
    case("conv_transpose3d", *THREE, A((6, 2, 1, 2, channels)), **options)
    renamed = {"kernel_dilation" if key == "dilation" else key: value for key, value in options.items()}
    case("conv_general", *ONE, A((6, 3, channels)), **renamed)
    case("conv_general", *TWO, A((6, 3, 2, channels)), **renamed)
for pair in ((2, 1), [1, 2], (1,), (1, 2, 3), 1.5, "x", None):
    for option in ("stride", "padding", "dilation"):
        case("conv2d conv_transpose2d", *TWO, A((6, 3, 2, 4)), **{option: pair})
        case("conv1d", *ONE, A((6, 3, 4)), **{option: pair})
        case("conv_general", *TWO, A((6, 3, 2, 4)), **{"kernel_dilation" if option == "dilation" else option: pair})
    case("conv_transpose2d", *TWO, A((6, 3, 2, 4)), output_padding=pair)
case("conv_general", *TWO, A((6, 3, 2, 4)), padding=([1, 0], [0, 2]))
case("conv_general", *TWO, A((6, 3, 2, 4)), padding=([1], [2]), input_dilation=2, flip=True)
case("conv_general", *TWO, A((6, 3, 2, 4)), 1, 0, (1, 2), [2, 1], 1, True)
case("conv3d conv_transpose3d", *THREE, A((6, 2, 1, 2, 4)), (1, 2, 1), (1, 0, 1), (1, 1, 2))
case("conv1d conv2d conv3d conv_general conv_transpose1d", A((2, 3)), A((2, 3)))
case("conv2d", 1, 2)

for subscripts, shapes in {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij->ji": ((2, 3),),
    "ii->i": ((3, 3),),
    "ij,ij->": ((2, 3), (2, 3)),
    "bij,bjk": ((2, 3, 4), (2, 4, 5)),
    "i,j": ((2,), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)),
    "...ij->...ji": ((2, 3, 4),),
    "ij,k": ((2, 3),),
    "ij->k": ((2, 3),),
    "i": ((2, 2),),
}.items():
    case("einsum einsum_path", subscripts, *(A(shape) for shape in shapes))
case("einsum", "ij,jk->ik", A((2, 3), "int32"), A((3, 2), "float16"))
case("einsum einsum_path", "ij")
case("einsum einsum_path", 3, A())
case("einsum", "i,i", A((2,)), 2)
case("einsum", "i,i", [A((2,)), A((2,))])
case("einsum", "ij,jk->ik", A((2, 3)), A((3, 2)), stream=N("cpu"))

for group, bits, mode in (
    (None, None, "affine"),
    (32, 4, "affine"),
    (64, 8, "affine"),
    (32, 3, "affine"),
    (7, 4, "affine"),
    (None, None, "mxfp4"),
    (None, None, "mxfp8"),
    (None, None, "nvfp4"),
    (None, None, "other"),
):
    weights = A((8, 128))
    stored = F("quantize", (weights, group, bits, mode))
    parts = [F("quantize", (weights, group, bits, mode), (), part) for part in range(3 if mode == "affine" else 2)]
    named = dict(zip(("scales", "biases"), parts[1:], strict=False))
    options = {"group_size": group, "bits": bits, "mode": mode}
    case("quantize", weights, group, bits, mode)
    case("quantize", weights, **options)
    case("dequantize", parts[0], **named, **options)
    case("quantized_matmul", A((3, 128)), parts[0], **named, **options)
    case("quantized_matmul", A((3, 8)), parts[0], **named, transpose=False, **options)
    batch = [F("quantize", (A((2, 8, 128)), group, bits, mode), (), part) for part in range(len(parts))]
    named = dict(zip(("scales", "biases"), batch[1:], strict=False))
    case("gather_qmm", A((2, 3, 128)), batch[0], **named, rhs_indices=V([1, 0], "uint32"), **options)
case("quantize", A((8, 128)), 64, 4, "affine", global_scale=A(()))
case("quantize", A((8, 16), "int32"))
case("quantize", A((8,)), mode="nvfp4")
case("quantize", 3.0)
case("dequantize", A((8, 4), "uint32"), A((8, 1)))
case("dequantize", A((8, 8), "uint32"), A((8, 1)), A((8, 1)), dtype=N("float16"))
case("dequantize", A((8, 8), "uint32"), A((8, 1)), A((8, 1)), None, None, "affine", None, N("bfloat16"))
case("quantized_matmul", A((3, 64)), A((8, 8), "uint32"), A((8, 1)), A((8, 1)))
case("quantized_matmul", A((3, 64)), A((8, 8), "uint32"), A((8, 1)))
case("qqmm", A((4, 64)), A((8, 64)))
case(
    "qqmm",
    A((4, 64)),
    F("quantize", (A((8, 64)), None, None, "nvfp4"), (), 0),
    F("quantize", (A((8, 64)), None, None, "nvfp4"), (), 1),
)
case("qqmm", A((4, 64)), A((8, 64)), mode="mxfp8")
case("gather_qqmm", A((2, 4, 64)), A((2, 8, 64)))
case(
    "gather_qqmm",
    A((2, 4, 64)),
    F("quantize", (A((2, 8, 64)), None, None, "nvfp4"), (), 0),
    F("quantize", (A((2, 8, 64)), None, None, "nvfp4"), (), 1),
)
case("to_fp8", A((4,)))
case("to_fp8", A((4,), "int32"))
case("to_fp8", 1.5)
case("from_fp8", A((4,), "uint8"))
case("from_fp8", A((4,), "uint8"), N("float32"))
case("from_fp8", A((4,), "uint8"), dtype=N("float16"))
case("from_fp8", A((4,)))

case("segmented_mm", A((4, 6)), A((6, 5)), V([[0, 2], [2, 6]], "uint32"))
case("segmented_mm", A((4, 6)), A((6, 5)), A((2, 2)))
case("segmented_mm", A((4, 6)), A((6, 5)), 2)
case("gather_mm", A((3, 2, 4)), A((5, 4, 2)), V([0, 2], "uint32"), V([1, 4], "uint32"))
case("gather_mm", A((3, 2, 4)), A((3, 4, 2)), rhs_indices=V([1, 0, 2], "uint32"), sorted_indices=True)
case("gather_mm", A((3, 2, 4)), A((3, 4, 2)))
case("gather_mm", A((3, 2, 4)), A((3, 4, 2)), A((2,)), A((2,)))
case("block_masked_mm", A((64, 64)), A((64, 64)))
case("block_masked_mm", A((64, 64)), A((64, 64)), 32, A((2, 2), "bool"))
case("block_masked_mm", A((64, 64)), A((64, 64)), 32, None, A((2, 2)), A((2, 2)))
case("block_masked_mm", A((64, 64)), A((64, 64)), 16, A((4, 4), "bool"))
case("hadamard_transform", A((4, 8)))
case("hadamard_transform", A((4, 8)), 0.5)
case("hadamard_transform", A((4, 6)), scale=None)
case("hadamard_transform", A((4, 7)))
case("slice", A((4, 5)), V([1, 2]), (0, 1), (2, 2))
case("slice", A((4, 5)), V([1]), [1], [4, 3])
case("slice", A((4, 5)), V(1), [0], (2, 5))
case("slice", A((4, 5)), 1, [0], (2, 5))
case("slice", A((4, 5)), V([1, 2]), (0, 1), (9, 2))
case("slice", A((4, 5)), V([1, 2]), (0, 0), (2, 2))
case("slice_update", A((4, 5)), A((2, 2), "int32"), V([1, 2]), (0, 1))
case("slice_update", A((4, 5)), A((2, 5)), V([1]), [0])
case("slice_update", A((4, 5)), 1.0, V([1]), [0])
case("slice_update", A((4, 5)), A((7, 5)), V([1]), [0])
for value in (
    1,
    2.5,
    True,
    A(),
    [1, 2, 3],
    [[1.5, 2], [3, 4]],
    (),
    "x",
    None,
    np.ones((2, 2), np.float32),
    np.arange(3),
):
    case("asarray", value)
    case("asarray", value, N("float32"))
    case("asarray", value, copy=True)
    case("asarray", value, copy=False)
case("from_dlpack", np.ones((2, 3), np.float32))
case("from_dlpack", np.ones((2, 3), np.float32), copy=True)
case("from_dlpack", np.ones((2, 3), np.float32), copy=False)
case("from_dlpack", A())
case("from_dlpack", 3)
case("depends", A(), A((3,)))
case("depends", [A(), A()], [A((3,))])
case("depends", [A()], A((3,)))
case("depends", 3, A())

# Sequences that are neither lists nor tuples.
for several in (range(2), np.array([0, 1]), (np.int64(0), 1), np.int64(1), V([0, 1])):
    case(f"{REDUCTIONS} softmax flip", A((2, 3)), axis=several)
    if not isinstance(several, V):
        case(INDEX_REDUCTIONS, A((2, 3)), axis=several)
    case("squeeze", A((1, 1)), several)
    case("expand_dims", A((2, 3)), several)
    case("transpose tile", A((2, 3)), several)
    case("roll", A((2, 3)), 1, several)
    case("split", A((2, 3)), several)
    case("pad", A((2, 3)), several)
for shape in (range(2, 4), np.array([3, 2]), (np.int64(3), 2), V([3, 2])):
    case("zeros", shape)
    case("reshape", A((2, 3)), shape)
    case("full", shape, 1)
case("pad", A((2, 3)), np.array([[0, 1], [1, 0]]))
case("pad", A((2, 3)), [[0, 1], [1, 0]])
case("conv2d", *TWO, A((6, 3, 2, 4)), stride=np.array([1, 2]))
case("concatenate stack", {"a": 1})
