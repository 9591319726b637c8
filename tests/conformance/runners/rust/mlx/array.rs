//! Arrays: lazy, immutable, reference counted by C++.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::{c_int, c_void};

use super::error::{check, install_handler, Error, Result};
use super::ffi::*;
use super::handle::{Handle, Owned};

#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Float32,
    Float64,
    Bfloat16,
    Complex64,
}

impl Dtype {
    pub const ALL: [Dtype; 14] = {
        use Dtype::*;
        [Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Float32, Float64, Bfloat16, Complex64]
    };
}

/// An array of this thread.
///
/// Neither `Send` nor `Sync`: an array that is not evaluated is a node of a graph that evaluation changes, clones of
/// it are the same node, and only the thread that owns the graph's streams can evaluate it. What travels is
/// `Evaluated`.
pub struct Array(Owned<mlx_array>);

impl Array {
    /// An array of bytes, row by row, which are copied.
    pub fn from_bytes(bytes: &[u8], shape: &[i32], dtype: Dtype) -> Result<Array> {
        Array::given(|res, _| unsafe {
            mlx_array_set_data(
                res,
                bytes.as_ptr() as *const c_void,
                shape.as_ptr(),
                shape.len() as c_int,
                dtype as c_int,
            )
        })
    }

    /// A float32 array; with no dimensions, of one number.
    pub fn from_floats(numbers: &[f32], shape: &[i32]) -> Result<Array> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        assert_eq!(numbers.len(), shape.iter().product::<i32>() as usize, "numbers for the shape {:?}", shape);
        Array::from_bytes(&bytes, shape, Dtype::Float32)
    }

    pub fn scalar(number: f32) -> Result<Array> {
        Array::from_floats(&[number], &[])
    }

    /// The result of an operation, which gets the place for it and the stream of this thread.
    pub fn given(call: impl FnOnce(*mut mlx_array, mlx_stream) -> c_int) -> Result<Array> {
        install_handler();
        let stream = default_stream()?;
        Owned::given(|res| call(res, stream)).map(Array)
    }

    /// The argument that stands for nothing.
    pub fn empty() -> Array {
        Array(Owned::empty())
    }

    pub fn from_owned(handle: Owned<mlx_array>) -> Array {
        Array(handle)
    }

    pub fn raw(&self) -> mlx_array {
        self.0.raw()
    }

    pub fn shape(&self) -> Vec<i32> {
        let handle = self.raw();
        let dimensions = unsafe { mlx_array_ndim(handle) };
        (0..dimensions).map(|i| unsafe { *mlx_array_shape(handle).add(i) }).collect()
    }

    pub fn dtype(&self) -> Dtype {
        Dtype::ALL[unsafe { mlx_array_dtype(self.raw()) } as usize]
    }

    /// Compute the array and wait for it.
    pub fn eval(&self) -> Result<&Array> {
        require_no_fork()?;
        check(unsafe { mlx_array_eval(self.raw()) })?;
        Ok(self)
    }

    /// The number of an array of one element.
    pub fn item(&self) -> Result<f64> {
        self.eval()?;
        let mut number = 0.0;
        check(unsafe { mlx_array_item_float64(&mut number, self.raw()) })?;
        Ok(number)
    }

    /// The elements row by row, whatever the strides.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let rows = Array::given(|res, s| unsafe { mlx_contiguous(res, self.raw(), false, s) })?;
        rows.eval()?; // data has an address only then, which is NULL for no elements
        let size = unsafe { mlx_array_nbytes(rows.raw()) };
        if size == 0 {
            return Ok(Vec::new());
        }
        Ok(unsafe { std::slice::from_raw_parts(mlx_array_data_uint8(rows.raw()), size) }.to_vec())
    }

    /// The array, computed, to be taken to other threads. A tracer cannot be: it belongs to the transform that runs.
    pub fn evaluated(&self) -> Result<Evaluated> {
        let mut tracer = false;
        check(unsafe { mlxffi_array_is_tracer(&mut tracer, self.raw()) })?;
        if tracer {
            return Err(Error::Mlx("an argument of a function under a transform stays on its thread".into()));
        }
        self.eval()?;
        Ok(Evaluated(self.clone()))
    }

    pub fn load(path: &CStr) -> Result<Array> {
        Array::given(|res, s| unsafe { mlx_load(res, path.as_ptr(), s) })
    }
}

/// Another handle of the same array.
impl Clone for Array {
    fn clone(&self) -> Array {
        if self.raw().ctx.is_null() {
            return Array::empty();
        }
        Array::given(|res, _| unsafe { mlx_array_set(res, self.raw()) }).expect("a handle of an array that is there")
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let text = Owned::given(|res| unsafe { mlx_array_tostring(res, self.raw()) }).map_err(|_| fmt::Error)?;
        f.write_str(&unsafe { CStr::from_ptr(mlx_string_data(text.raw())) }.to_string_lossy())
    }
}

/// An array that was computed: it has no graph any more, and nothing changes it.
pub struct Evaluated(Array);

// SAFETY: what is evaluated is only read. C++ counts references atomically, and this binding never puts another content
// under a handle.
unsafe impl Send for Evaluated {}
unsafe impl Sync for Evaluated {}

impl Evaluated {
    /// The array, for this thread.
    pub fn array(&self) -> Array {
        self.0.clone()
    }
}

/// The version of MLX that the library is for.
pub fn version() -> Result<String> {
    let text = Owned::given(|res| unsafe { mlx_version(res) })?;
    Ok(unsafe { CStr::from_ptr(mlx_string_data(text.raw())) }.to_string_lossy().into_owned())
}

/// A text as C takes it: without NUL.
pub fn c_text(text: &str) -> CString {
    CString::new(text).expect("a text without NUL")
}

thread_local! {
    static STREAM: RefCell<Option<Owned<mlx_stream>>> = RefCell::new(None);
}

/// The default stream of this thread: each has its own.
pub fn default_stream() -> Result<mlx_stream> {
    STREAM.with(|stream| {
        let mut stream = stream.borrow_mut();
        if stream.is_none() {
            let device = Owned::given(|res| unsafe { mlx_get_default_device(res) })?;
            *stream = Some(Owned::given(|res| unsafe { mlx_get_default_stream(res, device.raw()) })?);
        }
        Ok(stream.as_ref().map_or(mlx_stream::EMPTY, Owned::raw))
    })
}

/// MLX's threads do not exist in a forked child, which would wait for them for ever.
fn require_no_fork() -> Result<()> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    let now = std::process::id();
    match PROCESS.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
        Err(first) if first != now => Err(Error::Mlx("MLX cannot compute in a forked process".into())),
        _ => Ok(()),
    }
}
