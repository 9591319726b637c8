//! Tensors as bytes: safetensors files, and what of an array's elements is right.

use std::collections::HashMap;
use std::fmt;

use mlx::{Array, Dtype};

use crate::json::Json;

pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<i32>,
    pub bytes: Vec<u8>,
}

pub type File = HashMap<String, Tensor>;

// In the order of Dtype::ALL.
const NAMES: [&str; 14] =
    ["BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "BF16", "C64"];

/// The tensors of a safetensors file by name.
pub fn read(path: &str) -> Result<File, String> {
    let content = std::fs::read(path).map_err(|error| format!("{}: {}", path, error))?;
    let mut size = [0; 8];
    size.copy_from_slice(&content[..8]);
    let (header, data) = content[8..].split_at(u64::from_le_bytes(size) as usize);
    let header = Json::read(std::str::from_utf8(header).map_err(|error| error.to_string())?)?;
    let members = match header {
        Json::Object(members) => members,
        _ => return Err(format!("{}: no safetensors file", path)),
    };
    let tensors = members.into_iter().filter(|(name, _)| name != "__metadata__");
    Ok(tensors.map(|(name, entry)| (name, tensor(&entry, data))).collect())
}

fn tensor(entry: &Json, data: &[u8]) -> Tensor {
    let tag = entry.get("dtype").text();
    let place = NAMES.iter().position(|&name| name == tag).expect("a dtype of safetensors that MLX has");
    let offsets = entry.get("data_offsets").integers();
    Tensor {
        dtype: Dtype::ALL[place],
        shape: entry.get("shape").integers().into_iter().map(|n| n as i32).collect(),
        bytes: data[offsets[0] as usize..offsets[1] as usize].to_vec(),
    }
}

impl Tensor {
    pub fn of(array: &Array) -> mlx::Result<Tensor> {
        Ok(Tensor { dtype: array.dtype(), shape: array.shape(), bytes: array.bytes()? })
    }

    pub fn array(&self) -> mlx::Result<Array> {
        Array::from_bytes(&self.bytes, &self.shape, self.dtype)
    }

    /// The elements of what can be a little off; none of what cannot.
    fn numbers(&self) -> Vec<f64> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.chunks_exact(N).map(|chunk| number(chunk.try_into().expect("N bytes"))).collect()
        }
        match self.dtype {
            Dtype::Float16 => each(&self.bytes, |bytes| half(u16::from_le_bytes(bytes))),
            Dtype::Bfloat16 => {
                each(&self.bytes, |bytes: [u8; 2]| f32::from_le_bytes([0, 0, bytes[0], bytes[1]]) as f64)
            }
            Dtype::Float32 | Dtype::Complex64 => each(&self.bytes, |bytes| f32::from_le_bytes(bytes) as f64),
            Dtype::Float64 => each(&self.bytes, f64::from_le_bytes),
            _ => Vec::new(),
        }
    }

    /// None if it is right, else what came and what is right.
    pub fn difference(&self, right: &Tensor, rtol: f64, atol: f64) -> Option<String> {
        if (self.dtype, &self.shape) != (right.dtype, &right.shape) {
            return Some(format!("got {}, right {}", self, right));
        }
        if self.bytes == right.bytes {
            return None;
        }
        let (got, wanted) = (self.numbers(), right.numbers());
        if got.is_empty() {
            return Some(format!("got other elements than are right, {}", right));
        }
        let wrong = got.iter().zip(&wanted).position(|(&got, &right)| !close(got, right, rtol, atol))?;
        Some(format!("got {}, right {}, at element {} of {}", got[wrong], wanted[wrong], wrong, right))
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{:?}", NAMES[self.dtype as usize], self.shape)
    }
}

fn close(got: f64, right: f64, rtol: f64, atol: f64) -> bool {
    got == right
        || (got.is_nan() && right.is_nan())
        || (right.is_finite() && (got - right).abs() <= atol + rtol * right.abs())
}

fn half(bits: u16) -> f64 {
    let (exponent, fraction) = ((bits >> 10 & 31) as i32, (bits & 1023) as f64);
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 {
        -size
    } else {
        size
    }
}
