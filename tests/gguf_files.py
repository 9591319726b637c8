"""GGUF files made by hand, whole or mangled, and numpy's reading of what llama.cpp's types hold."""

import struct

import numpy as np

# The number of each type, and of a block of it the elements and the bytes.
TYPES = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "IQ2_XS": (17, 256, 74), "IQ4_NL": (20, 32, 18),
    "IQ4_XS": (23, 256, 136), "I8": (24, 1, 1), "I16": (25, 1, 2), "I32": (26, 1, 4), "I64": (27, 1, 8),
    "F64": (28, 1, 8), "BF16": (30, 1, 2), "MXFP4": (39, 32, 17),
}  # fmt: skip
PLAIN = {"F32": "f4", "F16": "f2", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8", "F64": "f8"}
PACKED = ("Q4_0", "Q4_1", "Q8_0")
# The numbers of a value's type, by what struct calls it.
VALUES = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "f": 6, "?": 7, "Q": 10, "q": 11, "d": 12}
TEXT, LIST = 8, 9


# --- files ---


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    """A value of the metadata: of a kind of VALUES or "text", or of a list of such, as in ["f"]."""
    if isinstance(kind, list):
        items = [text(item) if kind[0] == "text" else struct.pack("<" + kind[0], item) for item in content]
        number = TEXT if kind[0] == "text" else VALUES[kind[0]]
        return struct.pack("<IIQ", LIST, number, len(items)) + b"".join(items)
    if kind == "text":
        return struct.pack("<I", TEXT) + text(content)
    return struct.pack("<I" + kind, VALUES[kind], content)


def tensor_info(name, kind, shape, offset):
    number = kind if isinstance(kind, int) else TYPES[kind][0]
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), number, offset)


def file_of(tensors, metadata=None, *, alignment=32, version=3, data=None):
    """A file's bytes: tensors by name as (type, shape, bytes), and metadata by key as (kind, content)."""
    infos, content = b"", b""
    for name, (kind, shape, raw) in tensors.items():
        infos += tensor_info(name, kind, shape, len(content))
        content += raw + b"\0" * (-len(raw) % alignment)
    entries = dict(metadata or {})
    if alignment != 32:
        entries["general.alignment"] = ("I", alignment)
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    header += b"".join(text(key) + value(*entry) for key, entry in entries.items()) + infos
    return header + b"\0" * (-len(header) % alignment) + (content if data is None else data)


def size_of(kind, shape):
    """The bytes of a tensor."""
    _, elements, size = TYPES[kind]
    return int(np.prod(shape, dtype=np.int64)) // elements * size


# --- what tensors hold ---


def half(raw):
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def halves(raw):
    """The low four bits of bytes, and then the high ones."""
    return np.concatenate([raw & 15, raw >> 4], axis=-1).astype(np.int32)


def bits(raw, width, groups):
    """Fields of so many bits, of which one byte has those of as many groups of a row; [block, group, byte]."""
    shifts = np.arange(groups, dtype=np.uint8)[:, None] * np.uint8(width)
    return (raw[:, None, :] >> shifts & np.uint8(2**width - 1)).astype(np.int32)


def parts(raw, count):
    return raw.reshape(len(raw), count, -1)


def q5_0(raw):
    high = np.unpackbits(raw[:, 2:6], axis=1, bitorder="little").astype(np.int32)
    return half(raw[:, :2]) * (halves(raw[:, 6:]) + 16 * high - 16)


def q5_1(raw):
    high = np.unpackbits(raw[:, 4:8], axis=1, bitorder="little").astype(np.int32)
    return half(raw[:, :2]) * (halves(raw[:, 8:]) + 16 * high) + half(raw[:, 2:4])


def pairs_of_bits(raw):
    """Two bits of each of 256 elements, the halves of which stand in one half of the bytes each."""
    return np.concatenate([bits(raw[:, :32], 2, 4), bits(raw[:, 32:], 2, 4)], axis=1).reshape(len(raw), -1)


def q2_k(raw):
    own = raw[:, :16].astype(np.int32)
    scale, shift = half(raw[:, 80:82]) * (own & 15), half(raw[:, 82:84]) * (own >> 4)
    return scale[..., None] * parts(pairs_of_bits(raw[:, 16:80]), 16) - shift[..., None]


def q3_k(raw):
    high = bits(raw[:, :32], 1, 8).reshape(len(raw), -1)
    own = halves(raw[:, 96:104]) + 16 * bits(raw[:, 104:108], 2, 4).reshape(len(raw), -1) - 32
    scale = half(raw[:, 108:110]) * own
    return scale[..., None] * parts(pairs_of_bits(raw[:, 32:96]) + 4 * high - 4, 16)


def scales_and_shifts(raw):
    raw = raw.astype(np.int32)
    a, b, c = raw[:, :4], raw[:, 4:8], raw[:, 8:12]
    return np.hstack([a & 63, (c & 15) + (a >> 6) * 16]), np.hstack([b & 63, (c >> 4) + (b >> 6) * 16])


def shifted(raw, numbers):
    scales, shifts = scales_and_shifts(raw[:, 4:16])
    scale, shift = half(raw[:, :2]) * scales, half(raw[:, 2:4]) * shifts
    return scale[..., None] * numbers - shift[..., None]


def q4_k(raw):
    return shifted(raw, halves(parts(raw[:, 16:], 4)).reshape(len(raw), 8, 32))


def q5_k(raw):
    return shifted(raw, halves(parts(raw[:, 48:], 4)).reshape(len(raw), 8, 32) + 16 * bits(raw[:, 16:48], 1, 8))


def q6_k(raw):
    low = halves(parts(raw[:, :128], 2)).reshape(len(raw), -1)
    scale = half(raw[:, 208:210]) * raw[:, 192:208].view(np.int8)
    return scale[..., None] * parts(low + 16 * pairs_of_bits(raw[:, 128:192]) - 32, 16)


NONLINEAR = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def iq4_nl(raw):
    return half(raw[:, :2]) * NONLINEAR[halves(raw[:, 2:])]


def iq4_xs(raw):
    high = np.ascontiguousarray(raw[:, 2:4]).view("<u2").astype(np.int32) >> 2 * np.arange(8) & 3
    low = bits(raw[:, 4:8], 4, 2).transpose(0, 2, 1).reshape(len(raw), -1)
    scale = half(raw[:, :2]) * (low + 16 * high - 32)
    return scale[..., None] * NONLINEAR[halves(parts(raw[:, 8:], 8))]


def mxfp4(raw):
    with np.errstate(over="ignore"):
        return np.ldexp(FP4[halves(raw[:, 1:])], raw[:, :1].astype(np.int32) - 127)


def q4_0(raw):
    return half(raw[:, :2]) * (halves(raw[:, 2:]) - 8)


def q4_1(raw):
    return half(raw[:, :2]) * halves(raw[:, 4:]) + half(raw[:, 2:4])


def q8_0(raw):
    return half(raw[:, :2]) * raw[:, 2:].view(np.int8)


DECODERS = {
    "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0, "Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k,
    "Q5_K": q5_k, "Q6_K": q6_k, "IQ4_NL": iq4_nl, "IQ4_XS": iq4_xs, "MXFP4": mxfp4,
}  # fmt: skip


def decoded(kind, shape, raw):
    """The elements of a tensor, those of packed types as float32."""
    if kind in PLAIN:
        return np.frombuffer(raw, "<" + PLAIN[kind]).reshape(shape)
    if kind == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, TYPES[kind][2])
    if not blocks.size:
        return np.zeros(shape, np.float32)
    return DECODERS[kind](blocks).astype(np.float32).reshape(shape)


# Where the numbers of half precision by which a block is scaled stand in it.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}  # fmt: skip


def random_tensor(kind, shape, seed, scale=1e-3):
    """The bytes of a tensor: any bits, scaled by about so much. Numbers of plain types are any that are finite."""
    generator = np.random.default_rng(seed)
    if kind in PLAIN or kind == "BF16":
        numbers = generator.integers(-100, 100, shape)
        if kind == "BF16":
            return (numbers.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        return numbers.astype("<" + PLAIN[kind]).tobytes()
    blocks = generator.integers(0, 256, size_of(kind, shape), np.uint8).reshape(-1, TYPES[kind][2])
    for place in HALVES.get(kind, []):
        scales = generator.normal(0, scale, (len(blocks), 1)).astype("<f2")
        blocks[:, place : place + 2] = scales.view(np.uint8)
    if kind == "MXFP4":
        blocks[:, 0] = generator.integers(100, 140, len(blocks))
    return blocks.tobytes()
