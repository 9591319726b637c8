//! Elements by dtype: what is raw, and what converts.

use std::os::raw::{c_int, c_void};

use mlx::error::{check, last_text};
use mlx::ffi::{mlx_array, mlx_array_data_uint8};
use mlx::{Array, Dtype};

use super::{address, equal, mlxffi_clear_error, of_handle, vector, Case, Outcome};

pub const CASES: &[(&str, Case)] = &[
    ("dtype-data", dtype_data),
    ("dtype-item", dtype_item),
    ("dtype-unevaluated", dtype_unevaluated),
    ("scalar-dtype", scalar_dtype),
];

fn name(dtype: Dtype) -> String {
    format!("{:?}", dtype).to_lowercase()
}

/// The bytes of the number 1.
fn one(dtype: Dtype) -> Vec<u8> {
    use Dtype::*;
    match dtype {
        Bool | Uint8 | Int8 => vec![1],
        Uint16 | Int16 => vec![1, 0],
        Uint32 | Int32 => vec![1, 0, 0, 0],
        Uint64 | Int64 => vec![1, 0, 0, 0, 0, 0, 0, 0],
        Float16 => vec![0, 0x3c],
        Bfloat16 => vec![0x80, 0x3f],
        Float32 => vec![0, 0, 0x80, 0x3f],
        Float64 => vec![0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        Complex64 => vec![0, 0, 0x80, 0x3f, 0, 0, 0, 0],
    }
}

fn dtype_data() -> Outcome {
    for dtype in Dtype::ALL {
        let array = vector(&[1.0, 1.0])?.astype(dtype)?;
        let right = unsafe { mlx_array_data_uint8(array.eval()?.raw()) } as *const c_void;
        equal("no address", right.is_null(), false)?;
        for reader in Dtype::ALL {
            let function = format!("mlx_array_data_{}", name(reader));
            let got = unsafe { of_handle::<*const c_void>(&function) }(array.raw().ctx);
            equal(&format!("{} of {:?}", function, dtype), got, right)?;
        }
    }
    Ok(())
}

fn dtype_item() -> Outcome {
    for dtype in Dtype::ALL {
        let array = Array::scalar(1.0)?.astype(dtype)?;
        for reader in Dtype::ALL {
            let function = format!("mlx_array_item_{}", name(reader));
            type Item = extern "C" fn(*mut [u8; 8], mlx_array) -> c_int;
            let item: Item = unsafe { std::mem::transmute(address(&function)) };
            let mut place = [0; 8];
            check(item(&mut place, array.raw()))?;
            let right = one(reader);
            equal(&format!("{} of {:?}", function, dtype), &place[..right.len()], &right)?;
        }
    }
    Ok(())
}

fn dtype_unevaluated() -> Outcome {
    let sum = vector(&[1.0])?.add(&vector(&[1.0])?)?;
    unsafe { mlxffi_clear_error() };
    equal("the address", unsafe { mlx_array_data_uint8(sum.raw()) }, std::ptr::null())?;
    equal("no error", last_text().is_empty(), false)
}

fn scalar_dtype() -> Outcome {
    let (half, two) = (vector(&[1.0, 2.0])?.astype(Dtype::Bfloat16)?, Array::scalar(2.0)?);
    equal("dtype with a float32 scalar", half.multiply(&two)?.dtype(), Dtype::Float32)?;
    equal("dtype with a bfloat16 scalar", half.multiply(&two.astype(Dtype::Bfloat16)?)?.dtype(), Dtype::Bfloat16)
}
