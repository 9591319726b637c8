//! Functions under transforms: how often they run, and when they go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlx::closure::{closure, pack, unpack};
use mlx::ffi::{mlx_checkpoint, mlx_closure_apply};
use mlx::handle::Owned;
use mlx::Array;

use super::{equal, fails, item, live, scalars, square, vector, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[
    ("closure-freed-before-use", closure_freed_before_use),
    ("destructor-once", destructor_once),
    ("checkpoint-runs-twice", checkpoint_runs_twice),
    ("compile-runs-once", compile_runs_once),
    ("compile-after-failure", compile_after_failure),
    ("argnums-order", argnums_order),
    ("argnums-refused", argnums_refused),
    ("inputs-kept", inputs_kept),
    ("captured-constant", captured_constant),
    ("hot-loop", hot_loop),
];

/// A square that counts its runs.
pub fn counted() -> (Rc<Cell<usize>>, impl Fn(&[Array]) -> mlx::closure::FunctionResult + 'static) {
    let runs = Rc::new(Cell::new(0));
    let seen = runs.clone();
    let function = move |inputs: &[Array]| {
        seen.set(seen.get() + 1);
        square(inputs)
    };
    (runs, function)
}

fn closure_freed_before_use() -> Outcome {
    let source = closure(square)?;
    let light = Owned::given(|res| unsafe { mlx_checkpoint(res, source.raw()) })?;
    drop(source);
    for _ in 0..2 {
        let inputs = pack(&scalars(&[3.0])?)?;
        let outputs = Owned::given(|res| unsafe { mlx_closure_apply(res, light.raw(), inputs.raw()) })?;
        equal("the square", item(&unpack(outputs.raw())?)?, 9.0)?;
    }
    Ok(())
}

fn destructor_once() -> Outcome {
    let kept = Rc::new(());
    let captured = kept.clone();
    let light = mlx::checkpoint(move |inputs| {
        let _captured = &captured;
        square(inputs)
    })?;
    mlx::closure::sweep();
    equal("owners while it is used", Rc::strong_count(&kept), 2)?;
    drop(light);
    mlx::closure::sweep();
    equal("owners after its last user", Rc::strong_count(&kept), 1)
}

fn checkpoint_runs_twice() -> Outcome {
    let (runs, function) = counted();
    let light = mlx::checkpoint(function)?;
    let (_, gradients) = mlx::vjp(move |inputs| Ok(light.apply(inputs)?), &scalars(&[3.0])?, &scalars(&[1.0])?)?;
    equal("the gradient", item(&gradients)?, 6.0)?;
    equal("runs", runs.get(), 2)
}

fn compile_runs_once() -> Outcome {
    let (runs, function) = counted();
    let fast = mlx::compile(function, false)?;
    equal("the first square", item(&fast.apply(&scalars(&[2.0])?)?)?, 4.0)?;
    equal("the second square", item(&fast.apply(&scalars(&[3.0])?)?)?, 9.0)?;
    equal("traces of one shape", runs.get(), 1)?;
    fast.apply(&[vector(&[1.0, 2.0])?])?;
    equal("traces of two shapes", runs.get(), 2)
}

fn compile_after_failure() -> Outcome {
    let (runs, function) = counted();
    let seen = runs.clone();
    let fast = mlx::compile(
        move |inputs| {
            if seen.get() == 0 {
                seen.set(1);
                Err("once".into())
            } else {
                function(inputs)
            }
        },
        false,
    )?;
    fails("once", fast.apply(&scalars(&[2.0])?))?;
    equal("the square", item(&fast.apply(&scalars(&[2.0])?)?)?, 4.0)?;
    equal("traces", runs.get(), 2)
}

fn weighted(inputs: &[Array]) -> mlx::closure::FunctionResult {
    let doubled = inputs[1].multiply(&Array::scalar(2.0)?)?;
    let tripled = inputs[2].multiply(&Array::scalar(3.0)?)?;
    Ok(vec![inputs[0].add(&doubled)?.add(&tripled)?])
}

fn argnums_order() -> Outcome {
    let (_, gradients) = mlx::value_and_grad(weighted, &[2, 0, -2])?.apply(&scalars(&[1.0, 1.0, 1.0])?)?;
    let numbers = gradients.iter().map(Array::item).collect::<mlx::Result<Vec<_>>>()?;
    equal("gradients", numbers, vec![3.0, 1.0, 2.0])
}

fn argnums_refused() -> Outcome {
    let inputs = scalars(&[1.0, 1.0, 1.0])?;
    for argnums in [&[0, 0][..], &[3], &[-4], &[0, -3], &[]] {
        fails("", mlx::value_and_grad(weighted, argnums).and_then(|gradient| gradient.apply(&inputs)))?;
    }
    Ok(())
}

fn inputs_kept() -> Outcome {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let place = kept.clone();
    let keeps = move |inputs: &[Array]| {
        place.borrow_mut().push(inputs[0].clone());
        Ok(vec![inputs[0].clone()])
    };
    let (outputs, _) = mlx::vjp(keeps, &scalars(&[5.0])?, &scalars(&[1.0])?)?;
    equal("an input that is returned", item(&outputs)?, 5.0)?;
    let result = equal("an input that is kept", kept.borrow()[0].square()?.item()?, 25.0);
    result
}

fn captured_constant() -> Outcome {
    let weight = Array::scalar(7.0)?;
    let captured = weight.clone();
    let scaled = move |inputs: &[Array]| Ok(vec![inputs[0].multiply(&captured)?]);
    let (_, gradients) = mlx::value_and_grad(scaled, &[0])?.apply(&scalars(&[2.0])?)?;
    equal("the gradient of the argument", item(&gradients)?, 7.0)?;
    let through = |weights: &[Array]| {
        let captured = weights[0].clone();
        let light = mlx::checkpoint(move |inputs| Ok(vec![inputs[0].multiply(&captured)?]))?;
        Ok(light.apply(&scalars(&[2.0])?)?)
    };
    match mlx::vjp(through, &[weight], &scalars(&[1.0])?) {
        Ok((_, gradients)) => equal("the gradient of what a checkpoint captures", item(&gradients)?, 0.0),
        Err(_) => Ok(()),
    }
}

fn hot_loop() -> Outcome {
    let x = vector(&[1.0, 2.0])?;
    let before = live();
    for _ in 0..50_000 {
        x.add(&x)?;
    }
    let gradient = mlx::value_and_grad(|inputs| Ok(vec![inputs[0].square()?.sum(false)?]), &[0])?;
    for _ in 0..500 {
        gradient.apply(&[x.clone()])?;
    }
    drop(gradient);
    equal("live objects", live(), before)
}
