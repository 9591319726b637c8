//! Who owns what.

use std::ffi::CStr;
use std::os::raw::c_int;

use mlx::array::default_stream;
use mlx::ffi::{mlx_matmul, mlx_multiply};
use mlx::handle::Owned;
use mlx::{Array, Dtype};

use super::{equal, live, mlxffi_live_kind, mlxffi_live_kinds, of_handle, vector, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[
    ("data-copied", data_copied),
    ("views", views),
    ("handle-replaced", handle_replaced),
    ("shared-handle", shared_handle),
    ("free-empty", free_empty),
];

fn data_copied() -> Outcome {
    let mut buffer: Vec<u8> = [1f32, 2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let sum = Array::from_bytes(&buffer, &[2], Dtype::Float32)?.sum(false)?;
    buffer.fill(0x42);
    equal("the sum", sum.item()?, 3.0)
}

fn floats(array: &Array) -> mlx::Result<Vec<f32>> {
    let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok(array.bytes()?.chunks(4).map(number).collect())
}

fn views() -> Outcome {
    let x = Array::from_floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    equal("transposed", floats(&x.transpose()?)?, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0])?;
    equal("strided", floats(&x.slice(&[0, 0], &[2, 3], &[1, 2])?)?, vec![1.0, 3.0, 4.0, 6.0])
}

fn handle_replaced() -> Outcome {
    let (x, longer, stream) = (vector(&[1.0, 2.0])?, vector(&[1.0, 2.0, 3.0])?, default_stream()?);
    let mut res = Owned::given(|res| unsafe { mlx_multiply(res, x.raw(), x.raw(), stream) })?;
    let (ctx, before) = (res.raw().ctx, live());
    equal("status", unsafe { mlx_multiply(res.place(), x.raw(), x.raw(), stream) }, 0)?;
    equal("the handle", res.raw().ctx, ctx)?;
    equal("live objects", live(), before)?;
    equal("status", unsafe { mlx_matmul(res.place(), x.raw(), longer.raw(), stream) }, 1)?;
    equal("the handle after a failure", res.raw().ctx, ctx)?;
    equal("its elements", Array::from_owned(res).sum(false)?.item()?, 5.0)
}

fn shared_handle() -> Outcome {
    let first = Array::scalar(4.0)?;
    let second = first.clone();
    drop(first);
    equal("the number", second.item()?, 4.0)
}

fn free_empty() -> Outcome {
    for kind in 0..unsafe { mlxffi_live_kinds() } {
        let name = unsafe { CStr::from_ptr(mlxffi_live_kind(kind)) }.to_str()?;
        if name != "payload" {
            let free = unsafe { of_handle::<c_int>(&format!("{}_free", name)) };
            free(std::ptr::null_mut());
        }
    }
    Ok(())
}
