"""What a callback raises arrives at the caller as the same object, and the next computation is right."""

import itertools
import threading
import traceback

import pytest

import mlxffi as m
from mlxffi import Array, lib
from mlxffi._closures import Closure
from mlxffi._handles import pack_arrays


class Failure(Exception):
    pass


pytestmark = pytest.mark.usefixtures("without_compiler")

EXCEPTIONS = {
    "Exception": lambda: Failure("100% %s%n %x"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "MemoryError": MemoryError,
    "mlxffi.Error": lambda: m.Error("mine"),
}


def raised_by(call):
    """What a call raises, without its traceback, and the names of the functions in the traceback."""
    try:
        call()
    except BaseException as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return error.with_traceback(None), names
    raise AssertionError("nothing was raised")


class Failing:
    """sin, whose calls of the given numbers raise an exception."""

    def __init__(self, exception, *numbers):
        self.exception = exception
        self.numbers = numbers
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        if self.calls in self.numbers:
            self.fail()
        return [m.sin(x[0])]

    def fail(self):
        raise self.exception


def sine(x):
    return [m.sin(x[0])]


def copied(primals, cotangents, outputs):
    return [cotangents[0]]


# From a function of one array to another, which calls it under a transform and gives an array of that shape.
UNDER = {
    "vjp": lambda fn: lambda x: m.vjp(fn, x, [m.ones_like(x[0])])[1],
    "jvp": lambda fn: lambda x: m.jvp(fn, x, [m.ones_like(x[0])])[1],
    "value_and_grad": lambda fn: lambda x: m.value_and_grad(lambda y: [m.sum(fn(y)[0])])(*x)[1],
    "checkpoint": m.checkpoint,
    "custom_vjp": lambda fn: m.custom_vjp(fn, copied),
    "custom_function": m.custom_function,
    "vmap": m.vmap,
    "compile": m.compile,
}
X = Array([[[0.5, 1.0], [1.5, 2.0]]])


def expected(names):
    """The values of sine under transforms."""
    fn = sine
    for name in names:
        fn = UNDER[name](fn)
    return fn([X])[0].tolist()


def outcome(call):
    """The result of a call, or the text of MLX's error: not everything has a derivative of every kind."""
    try:
        return call()
    except m.Error as error:
        return str(error)


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("name", UNDER)
def test_an_exception_arrives_as_the_same_object(name, kind):
    exception = EXCEPTIONS[kind]()
    fn = UNDER[name](Failing(exception, 1))
    error, frames = raised_by(lambda: fn([X]))
    assert error is exception
    assert frames[-2:] == ["__call__", "fail"]
    assert (error.__context__, error.__cause__) == (None, None)
    assert fn([X])[0].tolist() == expected([name])


@pytest.mark.parametrize("outer", UNDER)
def test_an_exception_arrives_through_three_transforms(outer):
    for names in itertools.product(UNDER, UNDER, [outer]):
        exception = Failure(names)
        fn = Failing(exception, 1)
        for name in names:
            fn = UNDER[name](fn)
        error, frames = raised_by(lambda fn=fn: fn([X]))
        assert error is exception, names
        assert frames[-1] == "fail", names
        assert error.__context__ is None, names
        assert outcome(lambda fn=fn: fn([X])[0].tolist()) == outcome(lambda names=names: expected(names)), names


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("name", ["value_and_grad", "checkpoint", "vmap", "compile"])
def test_an_exception_of_the_second_call_arrives(name, kind):
    exception = EXCEPTIONS[kind]()
    fn = UNDER[name](Failing(exception, 2))
    assert fn([X])[0].tolist() == expected([name])
    other = m.reshape(X, [2, 2])
    error, frames = raised_by(lambda: fn([other]))
    assert (error, frames[-1]) == (exception, "fail")
    assert fn([other])[0].size == 4
    assert fn([X])[0].tolist() == expected([name])


def squared(fn):
    return lambda x: [m.square(fn(x)[0])]


# Functions whose rule for a derivative runs `failing`; and the transform that uses the rule.
BACKWARD = {
    "checkpoint": (lambda failing: m.checkpoint(failing), 2, UNDER["vjp"]),
    "what reads a checkpoint's result": (lambda failing: squared(m.checkpoint(failing)), 2, UNDER["vjp"]),
    "checkpoint, second order": (lambda failing: m.checkpoint(failing), 2, lambda fn: UNDER["vjp"](UNDER["vjp"](fn))),
    "vjp rule": (lambda failing: m.custom_vjp(sine, lambda p, c, o: failing(c)), 1, UNDER["vjp"]),
    "vjp part": (lambda failing: m.custom_function(sine, vjp=lambda p, c, o: failing(c)), 1, UNDER["value_and_grad"]),
    "jvp part": (lambda failing: m.custom_function(sine, jvp=lambda p, t, n: failing(t)), 1, UNDER["jvp"]),
    "vmap part": (lambda failing: m.custom_function(sine, vmap=lambda x, n: (failing(x), n)), 1, UNDER["vmap"]),
}


@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("name", BACKWARD)
def test_an_exception_of_a_backward_call_arrives(name, kind):
    make, number, transform = BACKWARD[name]
    exception = EXCEPTIONS[kind]()
    error, frames = raised_by(lambda: transform(make(Failing(exception, number)))([X]))
    assert error is exception
    assert frames[-1] == "fail"
    assert error.__context__ is None
    again = transform(make(Failing(exception)))([X])[0]
    assert again.tolist() == transform(make(sine))([X])[0].tolist()


def test_what_a_function_catches_inside_does_not_come_out():
    def fn(x):
        error, _ = raised_by(lambda: m.vjp(Failing(exception, 1), x, [X]))
        assert error is exception
        return [m.sin(x[0])]

    exception = Failure()
    assert m.checkpoint(fn)([X])[0].tolist() == m.sin(X).tolist()


def test_an_exception_may_be_exchanged_on_its_way():
    def fn(x):
        try:
            return m.checkpoint(Failing(inner, 1))(x)
        except Failure as error:
            raise outer from error

    inner, outer = Failure("inner"), KeyError("outer")
    error, _ = raised_by(lambda: m.vjp(fn, [X], [X]))
    assert (error, error.__cause__, error.__context__) == (outer, inner, inner)
    inner.__traceback__ = None


def test_the_context_is_that_of_the_raise():
    def handle():
        try:
            raise context
        except KeyError:
            m.vjp(Failing(exception, 1), [X], [X])

    context, exception = KeyError(), Failure()
    error, _ = raised_by(handle)
    assert (error, error.__context__) == (exception, context)
    context.__traceback__ = None


def test_errors_of_mlx_inside_a_function_keep_their_class():
    for name, transform in UNDER.items():
        with pytest.raises(ValueError, match="broadcast"):
            transform(lambda x: [x[0] + Array([1.0] * 7)])([X])
        assert transform(sine)([X])[0].tolist() == expected([name])


def test_a_compiled_function_that_failed_is_traced_again():
    fn = Failing(Failure(), 1, 3)
    compiled = m.compile(fn)
    for number, fails in enumerate([True, False, False]):
        if fails:
            raised_by(lambda: compiled([X]))
        else:
            assert compiled([X])[0].tolist() == m.sin(X).tolist(), number
    raised_by(lambda: compiled([X[0]]))
    assert fn.calls == 3
    assert compiled([X[0]])[0].tolist() == m.sin(X[0]).tolist()


# --- exceptions that nobody asked for ---


def fail_unseen():
    """Let a callback fail in a call whose status nobody looks at."""

    def fail(x):
        raise Failure("unseen")

    with Closure(fail) as closure:
        assert lib.glue_closure_apply(closure, pack_arrays([X])) == 0


def test_an_exception_that_was_not_fetched_does_not_come_out_of_a_later_call():
    fail_unseen()
    assert m.checkpoint(sine)([X])[0].tolist() == m.sin(X).tolist()
    fail_unseen()
    with pytest.raises(ValueError, match="cotangent"):
        m.vjp(sine, [X], [])
    fail_unseen()
    with pytest.raises(ValueError, match="broadcast"):
        X + Array([1.0] * 7)
    with pytest.raises(ValueError, match="at least 1 array"):
        m.checkpoint(sine)([])


def test_a_failure_that_is_swallowed_below_a_transform_is_forgotten():
    def fn(x):
        fail_unseen()
        return [m.sin(x[0])]

    for name, transform in UNDER.items():
        assert transform(fn)([X])[0].tolist() == expected([name])
    with pytest.raises(ValueError, match="cotangent"):
        m.vjp(fn, [X], [])


def test_an_exception_stays_on_its_thread():
    def run(key):
        exception = Failure(key)
        for _ in range(20):
            barrier.wait()
            found[key].append(raised_by(lambda: m.vjp(Failing(exception, 1), [X], [X]))[0] is exception)

    barrier = threading.Barrier(4)
    found = {key: [] for key in range(4)}
    threads = [threading.Thread(target=run, args=[key]) for key in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {key: [True] * 20 for key in found}
