"""Call every public function of a layer in a forked child, with several arguments each: `python forked.py LAYER`.

Prints the calls in which the child died: of an alarm where they waited for ever.
"""

import contextlib
import importlib
import os
import signal
import sys
import types

m = importlib.import_module(sys.argv[1])
PARTS = ["fast", "fft", "linalg", "random", "metal", "cuda", "memory", "io", "losses", "fused", "blocks", "graphs"]
# What is no function to call so: constructors of Python's own, and an owner of any address that it is given.
LEFT_OUT = {"__class__", "__del__", "__init_subclass__", "__new__", "__subclasshook__", "_own"}
PATIENCE = 10  # seconds

Array = m.Array if sys.argv[1] == "mlxffi" else m.array


def square(*inputs):
    listed = isinstance(inputs[0], list)
    total = m.sum(m.square(inputs[0][0] if listed else inputs[0]))
    return [total] if listed else total


known = Array([[2.0, 1.0], [1.0, 3.0]])
m.eval(known)
compiled = m.compile(square)
lazy = m.exp(known)
index = Array([0, 1])
ARGUMENTS = [
    (), (lazy,), (lazy, known), (known, lazy, lazy), ([lazy],), ([lazy, known],), (lazy, index), (lazy, 0), (lazy, [0]),
    (lazy, [2, 2]), (square,), (square, [lazy], [lazy]), (10**9,), (0,), ("f",), ("f.npy", lazy), ("f.npy", known),
    ("f.safetensors", {"a": lazy}), ("f.gguf", {"a": lazy}), (2, lazy), ([2, 2],), (lazy, m.float32), (compiled,),
    ("f.mlxfn", square, lazy), ("f.mlxfn", lambda x: square(x * lazy), known),
]  # fmt: skip


def functions():
    for part in [m, *(getattr(m, name) for name in PARTS if hasattr(m, name))]:
        for name in getattr(part, "__all__", None) or dir(part):
            value = getattr(part, name)
            if callable(value) and not isinstance(value, types.ModuleType):
                yield f"{part.__name__}.{name}", value
    for name in set(dir(Array)) - LEFT_OUT:
        yield f"array.{name}", lambda *arguments, name=name: method(name, arguments)


def method(name, arguments):
    value = getattr(m.exp(known), name)
    return value(*arguments) if callable(value) else value


def call(function, arguments):
    made = function(*arguments)
    if callable(made) and not isinstance(made, type):
        made(lazy)
        made([lazy])


def call_all(todo, told):
    """In the child: errors are what it may get."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for place, (_, function, arguments) in enumerate(todo):
        os.write(told, place.to_bytes(4, "little"))
        signal.alarm(PATIENCE)
        with contextlib.suppress(Exception):
            call(function, arguments)
    os._exit(0)


def first_death(todo):
    """How many calls were made until the child died, and its status."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        call_all(todo, write)
    os.close(write)
    with open(read, "rb") as told:
        places = told.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return int.from_bytes(places[-4:], "little") + 1, status


todo = [(name, function, arguments) for name, function in functions() for arguments in ARGUMENTS]
assert len(todo) > 5000, len(todo)
while todo:
    count, status = first_death(todo)
    if status:
        print(todo[count - 1][0], todo[count - 1][2], status)
    todo = todo[count:]
