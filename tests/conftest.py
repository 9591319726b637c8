"""What every test promises: native objects and callbacks return to their numbers from before, without the collector."""

import gc
import signal
import sys
from collections import Counter

import previous_release
import pytest
from hypothesis import settings

# Before mlx.core, with which tests compare: the BLAS bridge must come before libmlx binds its BLAS.
import mlxffi  # noqa: F401
from mlxffi._build_info import MLX_VERSION

# How long an example takes says how busy the machine is.
settings.register_profile("mlxffi", deadline=None)
settings.load_profile("mlxffi")

CPYTHON = sys.implementation.name == "cpython"

# What PyPy finalizes may hold what is finalized next, one link for each call of the collector. Hypothesis leaves such
# chains: its dead arrays go after 24 calls (PyPy 7.3.19, 400 examples). What leaks stays.
COLLECTIONS = 40

# Shells start background jobs with SIGINT ignored, which processes that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip what does not hold with the release of MLX before the one that the table is for."""
    if MLX_VERSION != previous_release.RELEASE:
        return
    for item in items:
        why = next((why for name, why in previous_release.DIFFER.items() if f"tests/{name}" in item.nodeid), None)
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


if not CPYTHON:
    # Elsewhere objects die when the collector finds them, and what they hold when it comes again.
    from mlxffi import memory

    def count(live_handles=memory.live_handles):
        gc.collect()
        gc.collect()
        return live_handles()

    memory.live_handles = count


def live_objects():
    """The live native objects by kind, and the objects of Python that C refers to."""
    from mlxffi import memory

    return memory.live_handles()


def pytest_terminal_summary(terminalreporter, config):
    """Say by reason how many tests were skipped, and keep their names: `pytest @FILE` runs them where more is there."""
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, count in Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped).items():
        terminalreporter.write_line(f"skipped {count}: {reason}")
    if hasattr(config, "cache"):
        names = "".join(f"{report.nodeid}\n" for report in skipped)
        (config.cache.mkdir("skipped") / "names").write_text(names)


@pytest.fixture(autouse=True)
def nothing_leaks(request):
    """Compare the live native objects before and after a test, with the garbage collector off.

    A test that is about garbage on purpose is marked `leaks`.
    """
    if not CPYTHON or request.node.get_closest_marker("leaks"):
        yield
        return
    gc.collect()
    # What is left, such as modules, is passed over from now on: going through it takes most of a short test's time.
    gc.freeze()
    gc.disable()
    before, known = live_objects(), set(sys.modules)
    yield
    if any(not name.startswith("mlxffi") for name in sys.modules.keys() - known):
        # What imports of PyTorch leave are circles that hold the frames which asked for it, and their arrays.
        gc.collect()
    after = live_objects()
    gc.enable()
    assert after == before


@pytest.fixture(autouse=True, scope="module")
def nothing_leaks_from_a_file():
    """The same for all tests of a file where the collector has to be called, which takes longer than most tests."""
    if CPYTHON:
        yield
        return
    before = live_objects()
    yield  # what was garbage before may have gone meanwhile
    assert any(not grown(before, live_objects()) for _ in range(COLLECTIONS))


def grown(before, after):
    """Of which kinds there are more objects than before."""
    return {kind: number for kind, number in after.items() if number > before.get(kind, 0)}


@pytest.fixture
def without_compiler():
    """Compilation traces as ever, and asks no C++ compiler for kernels."""
    from mlxffi import lib

    lib.mlx_set_compile_mode(lib.MLX_COMPILE_MODE_NO_FUSE)
    yield
    lib.mlx_set_compile_mode(lib.MLX_COMPILE_MODE_ENABLED)


@pytest.fixture
def threads_alternate(without_compiler):
    """Switch between threads as often as Python can; and ask no C++ compiler for kernels."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
