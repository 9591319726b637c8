//! MLX for Rust: arrays, derivatives and losses over the C ABI of libmlxc.
#![deny(improper_ctypes, improper_ctypes_definitions)]

pub mod array;
pub mod closure;
pub mod error;
#[allow(non_camel_case_types)]
pub mod ffi;
pub mod handle;
pub mod losses;
mod ops;
pub mod transforms;

pub use array::{Array, Dtype, Evaluated};
pub use error::{Error, Result};
pub use transforms::{checkpoint, compile, custom_vjp, jvp, value_and_grad, vjp, vmap, Function, GradFn};
