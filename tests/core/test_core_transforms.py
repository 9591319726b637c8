"""Derivatives, vectorisation, custom rules and checkpoints, in both libraries."""

import functools

import mlx.core as theirs
import pytest
from both import plain, same
from helpers import error_of

import mlxffi.core as ours


def x(mx):
    return mx.array([1.0, 2.0])


def y(mx):
    return mx.array([3.0, 4.0])


def product(a, b):
    return (a * b).sum()


def keeps(function):
    """Require that an exception arrives as the same object."""
    error = ZeroDivisionError("mine")

    def fails(*args, **kwargs):
        raise error

    assert error_of(lambda: function(fails), ZeroDivisionError) is error


# --- gradients ---

ARGNUMS = [
    None,
    0,
    1,
    True,
    (0,),
    (1, 0),
    [0, 1],
    range(2),
    2,
    -1,
    (0, 0),
    (),
    [0, -1],
    "a",
    1.0,
    (0, 1.0),
    {0, 1},
    10**20,
]
ARGNAMES = [[], "b", ["b"], ("b", "b"), ["c"], 3, ["b", 3], {"b"}, ("b", "a")]


@pytest.mark.parametrize("argnums", ARGNUMS, ids=repr)
@pytest.mark.parametrize("argnames", ARGNAMES, ids=repr)
def test_arguments_of_grad(argnums, argnames):
    same(lambda mx: mx.grad(product, argnums=argnums, argnames=argnames)(x(mx), y(mx)))
    same(lambda mx: mx.value_and_grad(product, argnums, argnames)(x(mx), b=y(mx)))
    same(lambda mx: mx.value_and_grad(product, argnums, argnames)(b=y(mx), a=x(mx)))


RESULTS = [
    lambda mx, a: a.sum(),
    lambda mx, a: a,
    lambda mx, a: 1.0,
    lambda mx, a: None,
    lambda mx, a: (a.sum(),),
    lambda mx, a: (a.sum(), a, 3, "text", None, {"k": [a]}),
    lambda mx, a: [a.sum(), a],
    lambda mx, a: (),
    lambda mx, a: (1, a),
    lambda mx, a: (a, a),
    lambda mx, a: mx.array(3.0),
    lambda mx, a: {"loss": a.sum()},
]


@pytest.mark.parametrize("result", RESULTS)
def test_results_of_grad(result):
    same(lambda mx: mx.grad(lambda a: result(mx, a))(x(mx)))
    same(lambda mx: mx.value_and_grad(lambda a: result(mx, a))(x(mx)))
    same(lambda mx: mx.value_and_grad(lambda a, other: result(mx, a))(x(mx), object()))


def test_bad_functions_are_refused():
    for name in ("grad", "value_and_grad", "vmap", "compile", "checkpoint", "custom_function"):
        same(lambda mx, name=name: getattr(mx, name)(3))
    same(lambda mx: mx.vjp(3, [x(mx)], [x(mx)]))
    same(lambda mx: mx.custom_function(abs).vjp(3))


def test_higher_orders():
    def cube(a):
        return (a * a * a).sum()

    same(lambda mx: mx.grad(lambda a: mx.grad(cube)(a).sum())(x(mx)))
    same(lambda mx: mx.grad(lambda a: (mx.grad(cube)(a) ** 2).sum())(x(mx)))
    same(lambda mx: mx.jvp(mx.grad(cube), [x(mx)], [y(mx)]))
    same(lambda mx: mx.vmap(mx.grad(lambda a: a**3))(x(mx)))
    same(lambda mx: mx.vmap(lambda b: mx.vmap(lambda a: a * b)(x(mx)))(y(mx)))


def test_integer_arguments():
    same(lambda mx: mx.grad(lambda a: (a * 1.5).sum())(mx.array([1, 2])))
    same(lambda mx: mx.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x(mx), mx.array([1, 2])))


def test_exceptions_keep_their_identity():
    keeps(lambda f: ours.grad(f)(x(ours)))
    keeps(lambda f: ours.vjp(f, [x(ours)], [x(ours)]))
    keeps(lambda f: ours.jvp(f, [x(ours)], [x(ours)]))
    keeps(lambda f: ours.vmap(f)(x(ours)))
    keeps(lambda f: ours.compile(f)(x(ours)))
    keeps(lambda f: ours.checkpoint(f)(x(ours)))
    keeps(lambda f: ours.grad(lambda a: ours.compile(ours.vmap(f))(a).sum())(x(ours)))
    keeps(lambda f: ours.grad(lambda a: ours.custom_function(lambda b: b).vjp(f)(a).sum())(x(ours)))


def test_transforms_have_the_name_of_their_function():
    def named(a):
        """About it."""
        return a.sum()

    for mx in (ours, theirs):
        for name in ("grad", "value_and_grad", "vmap", "compile", "checkpoint"):
            found = getattr(mx, name)(named)
            assert (found.__name__, found.__doc__) == ("named", "About it.")
        assert callable(functools.partial(mx.compile, shapeless=True)(named))


# --- products ---

PRODUCTS = [
    lambda mx: (mx.square, [x(mx)], [y(mx)]),
    lambda mx: (lambda a, b: (a * b, a + b), (x(mx), y(mx)), (x(mx), y(mx))),
    lambda mx: (lambda a, b: [a * b], (x(mx), y(mx)), (x(mx),)),
    lambda mx: (lambda a, b: [a * b], (x(mx), y(mx)), (x(mx), x(mx))),
    lambda mx: (lambda a, b: (a * b, a), (x(mx), y(mx)), (x(mx),)),
    lambda mx: (lambda a: {"a": a}, (x(mx),), (x(mx),)),
    lambda mx: (lambda a: (a, [a]), (x(mx),), (x(mx), x(mx))),
    lambda mx: (lambda a: 3.0, (x(mx),), (x(mx),)),
    lambda mx: (lambda a: None, (x(mx),), (x(mx),)),
    lambda mx: (lambda a, b: a * b, (x(mx), 3.0), (x(mx), x(mx))),
    lambda mx: (lambda a, b: a * b, (x(mx), y(mx)), (x(mx)[0], x(mx)[0])),
    lambda mx: (lambda a, b: a * b, x(mx), x(mx)),
    lambda mx: (lambda a, b: a * b, (x(mx), y(mx)), (x(mx), x(mx), x(mx))),
    lambda mx: (lambda a: a, 3, (x(mx),)),
    lambda mx: (lambda a: a, "text", (x(mx),)),
    lambda mx: (lambda a: a, None, None),
    lambda mx: (lambda a: a * 2, [x(mx).astype(mx.float16)], [x(mx).astype(mx.float16)]),
]


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("name", ["vjp", "jvp"])
def test_products(name, case):
    same(lambda mx: getattr(mx, name)(*case(mx)))


# --- vectorisation ---


@pytest.mark.parametrize(
    "in_axes",
    [0, 1, -1, -2, -3, 2, True, None, (0, None), (None, 0), (None, None), [0, 0], (0,), (0, 1), "a", (0, "a")],
)
@pytest.mark.parametrize("out_axes", [0, 1, -1, 2, 3, -4, (0, 1), [0, 1], (0,), "a"])
def test_axes_of_vmap(in_axes, out_axes):
    def two(mx):
        return mx.arange(6.0).reshape(2, 3), mx.arange(6.0).reshape(2, 3) * 2

    same(lambda mx: mx.vmap(lambda a, b: (a * b, a + b), in_axes=in_axes, out_axes=out_axes)(*two(mx)))
    same(lambda mx: mx.vmap(lambda a, b: a @ b, in_axes, out_axes)(*two(mx)))


def test_arguments_of_vmap():
    same(lambda mx: mx.vmap(lambda a, b: a * b)(x(mx), b=y(mx)))
    same(lambda mx: mx.vmap(lambda: x(mx))())
    same(lambda mx: mx.vmap(lambda a: a)(mx.array(1.0)))
    same(lambda mx: mx.vmap(lambda a, b: a)(mx.ones((2, 3)), mx.ones((3, 2))))
    same(lambda mx: mx.vmap(lambda a: 3.0)(x(mx)))
    same(lambda mx: mx.vmap(lambda a: (a, 3.0))(x(mx)))
    same(lambda mx: mx.vmap(lambda a: a, out_axes=None)(x(mx)))
    same(lambda mx: mx.vmap(lambda a: (a, a), out_axes=(0, None))(x(mx)))
    same(lambda mx: mx.vmap(lambda a: (a, x(mx)), out_axes=(0, None))(x(mx)))


# --- custom rules ---


def custom(mx, function=product, **rules):
    made = mx.custom_function(function)
    for name, rule in rules.items():
        getattr(made, name)(rule)
    return made


class Seen(list):
    """What rules are called with."""

    def rule(self, answer):
        def called(*args, **kwargs):
            self.append(plain((args, kwargs)))
            return answer(*args, **kwargs)

        return called


def check_rule(work):
    """The same results, and rules called with the same."""
    seen = {mx: Seen() for mx in (ours, theirs)}
    same(lambda mx: work(mx, seen[mx].rule))
    assert seen[ours] == seen[theirs]
    assert seen[ours]


def test_reverse_rules():
    double = {"function": lambda a, b: a * b}
    check_rule(
        lambda mx, rule: mx.grad(
            lambda a, b: custom(mx, vjp=rule(lambda p, c, o: (c * p[0], c * p[1]))).__call__(a, b), argnums=(0, 1)
        )(x(mx), y(mx))
    )
    check_rule(
        lambda mx, rule: mx.grad(lambda a: custom(mx, lambda a: a * 2, vjp=rule(lambda p, c, o: c * 5))(a).sum())(x(mx))
    )
    check_rule(
        lambda mx, rule: mx.grad(
            lambda a, b: custom(mx, **double, vjp=rule(lambda p, c, o, b: (c * 2, b)))(a, b=b).sum(), argnums=(0, 1)
        )(x(mx), y(mx))
    )
    check_rule(
        lambda mx, rule: mx.grad(
            lambda a: custom(mx, lambda d: {"o": d["a"], "p": [d["a"]]}, vjp=rule(lambda p, c, o: {"a": c["o"] * 3}))(
                {"a": a}
            )["o"].sum()
        )(x(mx))
    )
    check_rule(
        lambda mx, rule: mx.grad(
            lambda a: custom(mx, lambda a, n, s: a * n, vjp=rule(lambda p, c, o: c))(a, 3, "s").sum()
        )(x(mx))
    )


def test_reverse_rules_may_leave_out_what_nobody_asks_for():
    for answer in (lambda p, c, o: c * 2, lambda p, c, o: (c * 2, None), lambda p, c, o: (c * 2, c[0])):
        check_rule(
            lambda mx, rule, answer=answer: mx.grad(
                lambda a: custom(mx, lambda a, b: a * b, vjp=rule(answer))(a, y(mx)).sum()
            )(x(mx))
        )


def test_gradients_that_a_reverse_rule_leaves_out_are_zeros():
    # mlx.core reads past the end of a list here.
    found = ours.grad(lambda a, b: custom(ours, lambda a, b: a * b, vjp=lambda p, c, o: c)(a, b).sum(), argnums=(0, 1))(
        x(ours), y(ours)
    )
    assert plain(found) == plain((theirs.ones(2), theirs.zeros(2)))


def test_forward_rules():
    both = lambda a, b: a * b  # noqa: E731
    check_rule(
        lambda mx, rule: mx.jvp(custom(mx, both, jvp=rule(lambda p, t: t[0] * 2)), (x(mx), y(mx)), (x(mx), y(mx)))
    )
    check_rule(lambda mx, rule: mx.jvp(custom(mx, lambda a: a * 2, jvp=rule(lambda p, t: t * 5)), (x(mx),), (x(mx),)))
    check_rule(
        lambda mx, rule: mx.jvp(
            lambda a: custom(mx, both, jvp=rule(lambda p, t: t[0] * 2))(a, y(mx)), (x(mx),), (x(mx),)
        )
    )


def test_vmap_rules():
    both = lambda a, b: a * b  # noqa: E731
    check_rule(lambda mx, rule: mx.vmap(custom(mx, both, vmap=rule(lambda i, a: (i[0] * i[1], 0))))(x(mx), y(mx)))
    check_rule(
        lambda mx, rule: mx.vmap(custom(mx, both, vmap=rule(lambda i, a: (i[0] * i[1], 0))), in_axes=(0, None))(
            x(mx), y(mx)
        )
    )
    check_rule(lambda mx, rule: mx.vmap(custom(mx, lambda a: a * 2, vmap=rule(lambda i, a: (i * 3, a))))(x(mx)))
    check_rule(
        lambda mx, rule: mx.vmap(custom(mx, lambda d: {"o": d["a"]}, vmap=rule(lambda i, a: ({"o": i["a"]}, a["a"]))))(
            {"a": x(mx)}
        )
    )
    check_rule(lambda mx, rule: mx.vmap(custom(mx, both, vmap=rule(lambda i, a: i[0])))(x(mx), y(mx)))


def test_custom_functions_are_functions():
    same(lambda mx: custom(mx, lambda a, n: (a * n, n, None))(x(mx), 3))
    same(lambda mx: custom(mx, lambda a, n: (a * n, n, None), vjp=lambda p, c, o: c)(x(mx), 3))
    same(lambda mx: custom(mx, lambda a: None, vjp=lambda p, c, o: c)(x(mx)))
    same(lambda mx: mx.grad(lambda a: custom(mx, lambda b: (b * b).sum(), jvp=lambda p, t: t)(a))(x(mx)))
    same(lambda mx: mx.grad(lambda a: custom(mx, lambda b: (b * a).sum(), vjp=lambda p, c, o: p * 7)(a))(x(mx)))


# --- checkpoints, dependencies ---


def test_checkpoints():
    same(lambda mx: mx.checkpoint(lambda a, k=1: {"a": a * k, "b": 3})(x(mx), k=2))
    same(lambda mx: mx.checkpoint(lambda: x(mx))())
    same(lambda mx: mx.grad(lambda a: mx.checkpoint(lambda d: (d["a"] ** 2).sum())({"a": a}))(x(mx)))
    same(lambda mx: mx.grad(lambda a, b: mx.checkpoint(product)(a, b=b), argnums=(0, 1))(x(mx), y(mx)))


def test_depends():
    same(lambda mx: mx.depends(x(mx), y(mx)))
    same(lambda mx: mx.depends([x(mx), y(mx)], [y(mx)]))
    same(lambda mx: mx.depends((x(mx),), y(mx)))
    for bad in ({"a": 1}, 3, [3], None):
        same(lambda mx, bad=bad: mx.depends(bad, y(mx)))
        same(lambda mx, bad=bad: mx.depends(y(mx), bad))


def test_eval_refuses_tracers():
    same(lambda mx: mx.compile(lambda a: mx.eval(a))(x(mx)))
    same(lambda mx: mx.vmap(lambda a: a.item())(x(mx)))
    same(lambda mx: mx.grad(lambda a: a.sum() * a[0].item())(x(mx)))
    same(lambda mx: mx.eval(a=x(mx)))
