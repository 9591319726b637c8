"""Objects that export memory, and what a test asks of the arrays made of them."""

import weakref

import numpy as np

import mlxffi as m

NUMPY = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8"]


def same(array, source):
    """Whether an Array has numpy's shape, dtype and, to the bit, values."""
    found = np.array(array)
    wanted = np.asarray(source)
    return (
        found.shape == wanted.shape
        and found.dtype == wanted.dtype.newbyteorder("=")
        and found.tobytes() == wanted.astype(found.dtype).tobytes()
    )


def message(error, function, *arguments):
    """The text of the error that a call raises."""
    found = None
    try:
        function(*arguments)
    except error as raised:
        found = raised
    # Not by pytest.raises, which keeps the error, its frames and thus their arrays until the collector runs.
    text = str(found) if isinstance(found, m.Error) else None
    del found
    return text


class Exporter:
    """An object with DLPack and nothing else, over a numpy array."""

    def __init__(self, source, device=(1, 0), old=False):
        self.source = source
        self.device = device
        self.old = old

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        if self.old and options:
            raise TypeError("__dlpack__() takes no arguments")
        if self.device != (1, 0):
            assert options.pop("dl_device") == (1, 0)
        return self.source.__dlpack__(**options)


class Watched(np.ndarray):
    """A numpy array whose death can be seen."""


def watched(shape, dtype="f4"):
    source = np.arange(np.prod(shape)).astype(dtype).reshape(shape).view(Watched)
    deaths = []
    weakref.finalize(source, deaths.append, 1)
    return source, deaths
