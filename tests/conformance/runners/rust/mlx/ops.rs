//! Operations: each builds a node, which is computed when it is needed.

use super::array::{Array, Dtype};
use super::error::Result;
use super::ffi::*;

macro_rules! operations {
    ($($name:ident($($array:ident)* $(; $value:ident: $kind:ty)*) is $function:ident)*) => {
        impl Array {
            $(pub fn $name(&self $(, $array: &Array)* $(, $value: $kind)*) -> Result<Array> {
                Array::given(|res, s| unsafe { $function(res, self.raw() $(, $array.raw())* $(, $value)*, s) })
            })*
        }
    };
}

operations! {
    add(other) is mlx_add
    subtract(other) is mlx_subtract
    multiply(other) is mlx_multiply
    matmul(other) is mlx_matmul
    square() is mlx_square
    transpose() is mlx_transpose
    inverse() is mlx_linalg_inv
    sum(; keepdims: bool) is mlx_sum
    mean(; keepdims: bool) is mlx_mean
}

impl Array {
    pub fn astype(&self, dtype: Dtype) -> Result<Array> {
        Array::given(|res, s| unsafe { mlx_astype(res, self.raw(), dtype as i32, s) })
    }

    pub fn reshape(&self, shape: &[i32]) -> Result<Array> {
        Array::given(|res, s| unsafe { mlx_reshape(res, self.raw(), shape.as_ptr(), shape.len(), s) })
    }

    /// The elements from `start` up to `stop`, `strides` apart, along each axis.
    pub fn slice(&self, start: &[i32], stop: &[i32], strides: &[i32]) -> Result<Array> {
        let (from, to, by) = (start.as_ptr(), stop.as_ptr(), strides.as_ptr());
        Array::given(|res, s| unsafe {
            mlx_slice(res, self.raw(), from, start.len(), to, stop.len(), by, strides.len(), s)
        })
    }
}
