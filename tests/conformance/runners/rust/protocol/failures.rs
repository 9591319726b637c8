//! Functions that fail, and the texts of errors.

use std::cell::Cell;
use std::ffi::CString;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use mlx::closure::FunctionResult;
use mlx::error::last_text;
use mlx::ffi::{mlx_array, mlx_array_data_uint8, mlx_array_ndim, mlx_closure_apply, mlx_matmul, mlx_stream};
use mlx::ffi::{mlx_closure, mlx_vector_array};
use mlx::handle::Owned;
use mlx::{Array, Error};

use super::functions::counted;
use super::{address, equal, fails, item, live, mlxffi_clear_error, refused, scalars, square, vector, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[
    ("fails-at-first", fails_at_first),
    ("fails-at-second", fails_at_second),
    ("fails-backward", fails_backward),
    ("fails-nested", fails_nested),
    ("outputs-empty", outputs_empty),
    ("outputs-wrong", outputs_wrong),
    ("gradients-too-few", gradients_too_few),
    ("status-of-build", status_of_build),
    ("status-of-eval", status_of_eval),
    ("empty-handle-passed", empty_handle_passed),
    ("error-percent", error_percent),
    ("error-fresh", error_fresh),
    ("error-no-return", error_no_return),
];

/// An error of one's own, to be known again.
#[derive(Debug)]
struct Mine;

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for Mine {}

fn bad(_: &[Array]) -> FunctionResult {
    Err(Mine.into())
}

fn is_mine<T>(result: mlx::Result<T>) -> Outcome {
    match result {
        Err(Error::Function(error)) => equal("the error is the function's own", error.is::<Mine>(), true),
        Err(other) => Err(format!("got the error {:?}, right is the function's own", other.to_string()).into()),
        Ok(_) => Err("got no error, right is one".into()),
    }
}

fn fails_at_first() -> Outcome {
    let x = [vector(&[1.0, 2.0])?];
    is_mine(mlx::vjp(bad, &x, &x))?;
    is_mine(mlx::jvp(bad, &x, &x))?;
    is_mine(mlx::value_and_grad(bad, &[0])?.apply(&x))?;
    is_mine(mlx::checkpoint(bad)?.apply(&x))?;
    is_mine(mlx::vmap(bad, &[0], &[0])?.apply(&x))?;
    is_mine(mlx::compile(bad, false)?.apply(&x))
}

/// A square that fails at its second run.
fn bad_at_second() -> impl Fn(&[Array]) -> FunctionResult + 'static {
    let (runs, function) = counted();
    move |inputs| function(inputs).and_then(|outputs| if runs.get() == 2 { Err(Mine.into()) } else { Ok(outputs) })
}

fn fails_at_second() -> Outcome {
    let gradient = mlx::value_and_grad(bad_at_second(), &[0])?;
    let x = scalars(&[3.0])?;
    equal("the first gradient", item(&gradient.apply(&x)?.1)?, 6.0)?;
    is_mine(gradient.apply(&x))?;
    equal("the third gradient", item(&gradient.apply(&x)?.1)?, 6.0)
}

fn fails_backward() -> Outcome {
    let light = mlx::checkpoint(bad_at_second())?;
    is_mine(mlx::vjp(move |inputs| Ok(light.apply(inputs)?), &scalars(&[2.0])?, &scalars(&[1.0])?))
}

fn fails_nested() -> Outcome {
    let inner = mlx::value_and_grad(bad, &[0])?;
    is_mine(mlx::vjp(move |inputs| Ok(inner.apply(inputs)?.0), &scalars(&[2.0])?, &scalars(&[1.0])?))
}

fn outputs_empty() -> Outcome {
    let x = scalars(&[2.0])?;
    fails("", mlx::value_and_grad(|_| Ok(Vec::new()), &[0])?.apply(&x))?;
    fails("", mlx::checkpoint(|_| Ok(Vec::new()))?.apply(&x))?;
    extern "C" fn nothing(_: *mut mlx_vector_array, _: mlx_vector_array) -> i32 {
        0
    }
    type New = extern "C" fn(extern "C" fn(*mut mlx_vector_array, mlx_vector_array) -> i32) -> mlx_closure;
    let new: New = unsafe { std::mem::transmute(address("mlx_closure_new_func")) };
    let (closure, inputs) = (unsafe { Owned::from_raw(new(nothing)) }, mlx::closure::pack(&x)?);
    let mut outputs = Owned::empty();
    refused("a place left empty", unsafe { mlx_closure_apply(outputs.place(), closure.raw(), inputs.raw()) })
}

fn outputs_wrong() -> Outcome {
    let x = vector(&[1.0, 2.0])?;
    fails("", mlx::value_and_grad(square, &[0])?.apply(&[x.clone()]))?;
    fails("", mlx::vjp(square, &[x.clone()], &[]))?;
    fails("[vjp]", mlx::vjp(square, &[x.clone()], &[x.clone(), x.clone()]))?;
    fails("", mlx::jvp(square, &[x.clone()], &[x.clone(), x.clone()]))?;
    fails("", mlx::vjp(square, &[x], &scalars(&[1.0])?))
}

fn gradients_too_few() -> Outcome {
    let inputs = scalars(&[2.0, 3.0])?;
    for count in 0..4 {
        let product = |inputs: &[Array]| Ok(vec![inputs[0].multiply(&inputs[1])?]);
        let rule = move |primals: &[Array], _: &[Array], _: &[Array]| Ok(vec![primals[0].clone(); count]);
        let function = mlx::custom_vjp(product, rule)?;
        let result = mlx::vjp(move |inputs| Ok(function.apply(inputs)?), &inputs, &scalars(&[1.0])?);
        if count == 2 {
            result.map(drop)?
        } else {
            fails("", result)?
        }
    }
    Ok(())
}

fn status_of_build() -> Outcome {
    fails("[matmul]", vector(&[1.0, 2.0])?.matmul(&vector(&[1.0, 2.0, 3.0])?))
}

fn status_of_eval() -> Outcome {
    let inverse = Array::from_floats(&[0.0; 4], &[2, 2])?.inverse()?;
    fails("", inverse.eval())?;
    fails("", inverse.eval())
}

fn empty_handle_passed() -> Outcome {
    let nothing = Array::empty();
    fails("", nothing.square())?;
    fails("", nothing.item())?;
    fails("", mlx::closure::pack(&[Array::empty()]))?;
    equal("its elements", unsafe { mlx_array_data_uint8(nothing.raw()) }, std::ptr::null())?;
    equal("its dimensions", unsafe { mlx_array_ndim(nothing.raw()) }, 0)
}

fn error_percent() -> Outcome {
    let name = format!("/nowhere/100% %s %n %d%% é {}", "x".repeat(4000));
    fails(&name, Array::load(&CString::new(name.clone())?))?;
    fails("/nowhere/\u{fffd}", Array::load(&CString::new(b"/nowhere/\xff".to_vec())?))
}

/// A failure whose status nobody looks at.
fn unread(stream: mlx_stream) -> mlx::Result<i32> {
    let (a, b, mut res) = (vector(&[1.0, 2.0])?, vector(&[1.0, 2.0, 3.0])?, Owned::<mlx_array>::empty());
    Ok(unsafe { mlx_matmul(res.place(), a.raw(), b.raw(), stream) })
}

fn error_fresh() -> Outcome {
    equal("status", unread(mlx::array::default_stream()?)?, 1)?;
    fails("[reshape]", vector(&[1.0, 2.0])?.reshape(&[3]))?;
    unsafe { mlxffi_clear_error() };
    vector(&[1.0, 2.0])?.eval()?;
    equal("the text after a success", last_text(), String::new())
}

/// The handler of the binding returns, and a panic goes on at the caller when C++ has been left: nothing is lost.
fn error_no_return() -> Outcome {
    let x = scalars(&[2.0])?;
    let (before, runs) = (live(), Rc::new(Cell::new(0)));
    let seen = runs.clone();
    let panics = move |_: &[Array]| -> FunctionResult {
        seen.set(seen.get() + 1);
        std::panic::panic_any(Mine.to_string())
    };
    std::panic::set_hook(Box::new(|_| ()));
    let caught = catch_unwind(AssertUnwindSafe(|| mlx::vjp(panics, &x, &x)));
    drop(std::panic::take_hook());
    let payload = caught.err().ok_or("got no panic, right is one")?;
    equal("what the panic carries", payload.downcast_ref::<String>().map(String::as_str), Some("mine"))?;
    equal("live objects", live(), before)?;
    equal("runs", runs.get(), 1)?;
    equal("the next gradient", item(&mlx::vjp(square, &x, &scalars(&[1.0])?)?.1)?, 4.0)
}
