//! Derivatives, and functions made of functions. A function takes a list of arrays and returns one.

use super::array::Array;
use super::closure::{closure, custom, pack, unpack, FunctionResult};
use super::error::{Error, Result};
use super::ffi::*;
use super::handle::Owned;

type Pair = (Vec<Array>, Vec<Array>);

fn taken((first, second): (Owned<mlx_vector_array>, Owned<mlx_vector_array>)) -> Result<Pair> {
    Ok((unpack(first.raw())?, unpack(second.raw())?))
}

/// The outputs, and a gradient for each primal. MLX would ignore cotangents that are left over.
pub fn vjp(
    function: impl Fn(&[Array]) -> FunctionResult + 'static,
    primals: &[Array],
    cotangents: &[Array],
) -> Result<Pair> {
    let (function, primals, packed) = (closure(function)?, pack(primals)?, pack(cotangents)?);
    let call = |a, b| unsafe { mlx_vjp(a, b, function.raw(), primals.raw(), packed.raw()) };
    let (outputs, gradients) = taken(Owned::two(call)?)?;
    let (wanted, got) = (outputs.len(), cotangents.len());
    if got > wanted {
        let text = format!("[vjp] cotangents: one for each of {} outputs is required, got {}", wanted, got);
        return Err(Error::Mlx(text));
    }
    Ok((outputs, gradients))
}

/// The outputs, and the tangent of each.
pub fn jvp(
    function: impl Fn(&[Array]) -> FunctionResult + 'static,
    primals: &[Array],
    tangents: &[Array],
) -> Result<Pair> {
    let (function, primals, tangents) = (closure(function)?, pack(primals)?, pack(tangents)?);
    taken(Owned::two(|a, b| unsafe { mlx_jvp(a, b, function.raw(), primals.raw(), tangents.raw()) })?)
}

/// A function that gives the outputs of another, and gradients of the first.
pub struct GradFn {
    handle: Owned<mlx_closure_value_and_grad>,
    argnums: Vec<i32>,
}

/// The gradients of the first output, a scalar, with respect to the arguments at `argnums`; -1 is the last.
pub fn value_and_grad(function: impl Fn(&[Array]) -> FunctionResult + 'static, argnums: &[i32]) -> Result<GradFn> {
    let function = closure(function)?;
    let handle =
        Owned::given(|res| unsafe { mlx_value_and_grad(res, function.raw(), argnums.as_ptr(), argnums.len()) })?;
    Ok(GradFn { handle, argnums: argnums.to_vec() })
}

impl GradFn {
    /// The outputs, and the gradients in the order of `argnums`; C gives them in ascending order.
    pub fn apply(&self, inputs: &[Array]) -> Result<Pair> {
        let packed = pack(inputs)?;
        let (values, ascending) = taken(Owned::two(|a, b| unsafe {
            mlx_closure_value_and_grad_apply(a, b, self.handle.raw(), packed.raw())
        })?)?;
        let count = inputs.len() as i32;
        let mut positions: Vec<i32> = self.argnums.iter().map(|&n| n.rem_euclid(count)).collect();
        let asked = positions.clone();
        positions.sort_unstable();
        let place = |n| positions.iter().position(|&other| other == n).expect("a position that was asked for");
        Ok((values, asked.into_iter().map(|n| ascending[place(n)].clone()).collect()))
    }
}

/// A function that C made of another.
pub struct Function(Owned<mlx_closure>);

impl Function {
    pub fn apply(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let inputs = pack(inputs)?;
        let outputs = Owned::given(|res| unsafe { mlx_closure_apply(res, self.0.raw(), inputs.raw()) })?;
        unpack(outputs.raw())
    }
}

/// The function, computed once more for its gradients. Only its arguments get any, and nothing that it captures.
pub fn checkpoint(function: impl Fn(&[Array]) -> FunctionResult + 'static) -> Result<Function> {
    let function = closure(function)?;
    Owned::given(|res| unsafe { mlx_checkpoint(res, function.raw()) }).map(Function)
}

/// The function, traced once for each combination of shapes and dtypes; with `shapeless`, of dtypes.
pub fn compile(function: impl Fn(&[Array]) -> FunctionResult + 'static, shapeless: bool) -> Result<Function> {
    let function = closure(function)?;
    Owned::given(|res| unsafe { mlx_compile(res, function.raw(), shapeless) }).map(Function)
}

/// The function over the axes `in_axes` of its inputs (-1: whole), which the outputs get at `out_axes`.
pub fn vmap(
    function: impl Fn(&[Array]) -> FunctionResult + 'static,
    in_axes: &[i32],
    out_axes: &[i32],
) -> Result<Function> {
    let function = closure(function)?;
    Owned::given(|res| unsafe {
        mlx_vmap(res, function.raw(), in_axes.as_ptr(), in_axes.len(), out_axes.as_ptr(), out_axes.len())
    })
    .map(Function)
}

/// The function, with a gradient of its own: `rule(primals, cotangents, outputs)` gives one for each primal.
pub fn custom_vjp(
    function: impl Fn(&[Array]) -> FunctionResult + 'static,
    rule: impl Fn(&[Array], &[Array], &[Array]) -> FunctionResult + 'static,
) -> Result<Function> {
    let (function, rule) = (closure(function)?, custom(rule)?);
    Owned::given(|res| unsafe { mlx_custom_vjp(res, function.raw(), rule.raw()) }).map(Function)
}
