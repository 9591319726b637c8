"""Arrays that hang together, and threads that evaluate, read and differentiate them at once, for both bindings."""

import threading

import numpy as np
from helpers import THREADS, together

ROUNDS = 8


def lazily(library, array):
    """Arrays that are not computed, most of them siblings, and what they are to be."""
    numbers = np.arange(6, dtype=np.float32)
    arrays, expected = [], []
    for step in range(1, 13):
        quotient, remainder = library.divmod(array(numbers) + float(step), 3.0)
        arrays += [quotient, remainder, library.exp(quotient) + remainder]
        expected += [*(parts := np.divmod(numbers + step, 3)), np.exp(parts[0]) + parts[1]]
    return arrays, expected


def ask(way, array, refusals, mine):
    try:
        way(array)
    except RuntimeError as error:
        refusals.append((mine, "belongs to the thread" in str(error)))


def threads_evaluate(make, ways, evaluate):
    """One thread makes the arrays and computes them; the others get what it computed, or are told whose they are."""
    barrier, shared, refusals = threading.Barrier(THREADS, timeout=60), [], []

    def work(number):
        for _ in range(ROUNDS):
            if not number:
                shared[:] = make()
            barrier.wait()
            arrays, expected = shared
            for place in range(len(arrays)):
                array = arrays[place * (2 * number + 1) % len(arrays)]
                ask(ways[(place + number) % len(ways)], array, refusals, not number)
            if not number:
                evaluate(arrays)
            barrier.wait()
            np.testing.assert_allclose(arrays[number], expected[number], rtol=1e-6)
            barrier.wait()

    assert together(work) == []
    assert set(refusals) <= {(False, True)}


def threads_wait(make, ways, start):
    """What has been handed to MLX's threads may be waited for on any thread."""
    for _ in range(ROUNDS):
        arrays, expected = make()
        start(arrays)

        def work(number, arrays=arrays, expected=expected):
            for way in ways:
                way(arrays[number])
            np.testing.assert_allclose(arrays[number], expected[number], rtol=1e-6)

        assert together(work) == []
