"""What every test promises: native objects and callbacks return to their numbers from before, without the collector."""

import gc
import signal

import pytest

# Before mlx.core, with which tests compare: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi  # noqa: F401

# Shells start background jobs with SIGINT ignored, which processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_leaks(request):
    """Compare the live native objects before and after a test, with the garbage collector off.

    A test that is about garbage on purpose is marked `leaks`.
    """
    from mlxffi import memory

    if request.node.get_closest_marker("leaks"):
        yield
        return
    gc.collect()
    gc.disable()
    before = memory.live_handles()
    yield
    after = memory.live_handles()
    gc.enable()
    assert after == before
